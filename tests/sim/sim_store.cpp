// See sim_store.hpp.
#include "sim_store.hpp"

namespace dc::sim {
namespace {

Error no_answer() { return {ErrorCode::unreachable, "the store does not answer"}; }

}  // namespace

template <class Effect>
Result<void> SimStore::unanswered(Effect effect) {
  if (world_.chance.percent(50)) effect();
  return no_answer();
}

void SimStore::head_ended() {
  if (world_.chance.percent(50)) {
    for (const store::Addressed& one : unanswered_) reader_.stands_after_all(one.log, one.entry);
    write(unanswered_);
  }
  unanswered_.clear();
}

Result<void> SimStore::check_hold() {
  if (silent()) return no_answer();
  return boost::outcome_v2::success();
}

Result<std::vector<store::LogId>> SimStore::logs() {
  std::vector<store::LogId> ids;
  for (const auto& [id, entries] : logs_) ids.push_back(id);
  return ids;
}

void SimStore::write(std::span<const store::Addressed> batch) {
  for (const store::Addressed& one : batch) {
    reader_.written(one.log, one.entry);
    logs_[one.log].push_back(one.entry);
  }
}

Result<void> SimStore::append(std::span<const store::Addressed> batch) {
  if (silent()) return unanswered([&] { unanswered_.assign(batch.begin(), batch.end()); });
  if (world_.now() < full_until_ && world_.chance.percent(80)) return fail(ErrorCode::full, "the store is full");
  unanswered_.clear();
  write(batch);
  if (world_.chance.percent(plan_.written_twice)) write(batch);
  return boost::outcome_v2::success();
}

Result<bool> SimStore::read(store::LogId log, store::Position& position, store::Attachments /*all are here*/,
                            const std::function<void(store::Entry&&)>& each) {
  if (silent()) return no_answer();
  const auto found = logs_.find(log);
  if (found == logs_.end()) return false;
  const std::vector<store::Entry>& all = found->second;
  const std::uint64_t before = position.entries;
  for (auto left = world_.chance.between(1, 8); left > 0 && position.entries < all.size(); --left)
    each(store::Entry(all[position.entries++]));
  return position.entries > before;
}

Result<void> SimStore::replace(store::LogId log, std::span<const store::Entry> entries) {
  const auto effect = [&] {
    std::vector<store::Entry> now(entries.begin(), entries.end());
    reader_.replaced(logs_[log], now);
    world_.note("journal", "shortens pool {} from {} to {} entries", short_name(log), logs_[log].size(), now.size());
    logs_[log] = std::move(now);
    unanswered_.clear();
  };
  if (silent()) return unanswered(effect);
  effect();
  return boost::outcome_v2::success();
}

Result<void> SimStore::remove(store::LogId log) {
  const auto effect = [&] {
    if (logs_.erase(log) > 0) reader_.removed(log);
    unanswered_.clear();
  };
  if (silent()) return unanswered(effect);
  effect();
  return boost::outcome_v2::success();
}

}  // namespace dc::sim
