// See sim_store.hpp.
#include "sim_store.hpp"

#include <utility>

#include "store/held_by.hpp"
#include "text.hpp"

namespace dc::sim {
namespace {

Error no_answer() { return {ErrorCode::unreachable, "the store does not answer"}; }
Error no_room() { return {ErrorCode::full, "the store is full"}; }
Error not_ours() { return {ErrorCode::fenced, "another head has taken the store"}; }

}  // namespace

void SimServer::write(std::span<const store::Change> changes, bool unanswered) {
  std::map<store::LogId, Entries> whole;  // what logs would be of which nothing was erased
  std::set<Place> put_now;
  for (const store::Change& one : changes) {
    if (!one.entry) {
      if (unanswered && put_now.contains({one.log, one.number})) note_passing(one);
      erase(one, whole);
      continue;
    }
    put(one, unanswered);
    put_now.insert({one.log, one.number});
    if (const auto log = whole.find(one.log); log != whole.end()) log->second[one.number] = *one.entry;
  }
  for (const auto& [id, entries] : whole) reader_.erased(entries, logs_.at(id));
  std::erase_if(logs_, [](const auto& log) { return log.second.empty(); });
}

void SimServer::put(const store::Change& one, bool unanswered) {
  const auto [stands, is_new] = logs_[one.log].try_emplace(one.number, *one.entry);
  if (!is_new && stands->second.bytes != one.entry->bytes)
    world_.violation("entry {} of pool {} is put anew, and says something else", one.number, short_name(one.log));
  if (!is_new && !doubtful_.contains({one.log, one.number})) return;
  if (unanswered) {
    doubtful_.insert({one.log, one.number});
    return;
  }
  doubtful_.erase({one.log, one.number});
  reader_.written(one.log, *one.entry);
}

/// Put and erased by one call, of which nobody knows so far: it has been there if that call counts.
void SimServer::note_passing(const store::Change& one) {
  const auto log = logs_.find(one.log);
  if (log != logs_.end() && log->second.contains(one.number))
    passing_.emplace_back(one.log, log->second.at(one.number));
}

void SimServer::erase(const store::Change& one, std::map<store::LogId, Entries>& whole) {
  const auto log = logs_.find(one.log);
  if (log == logs_.end() || !log->second.contains(one.number)) return;
  const bool given_up = doubtful_.erase({one.log, one.number}) > 0;
  if (!given_up) whole.try_emplace(one.log, log->second);
  log->second.erase(one.number);
}

SimStore::SimStore(World& world, const Plan& plan, SimServer& server, std::size_t machine, Haunts haunts)
    : world_(world), plan_(plan), server_(server), place_(machine), haunts_(std::move(haunts)) {}

SimStore::~SimStore() {
  if (server_.holder_ != this) return;
  settle();
  server_.holder_ = nullptr;
}

template <class Effect>
Result<void> SimStore::unanswered(Effect effect) {
  if (world_.chance.percent(50)) effect();
  return no_answer();
}

void SimStore::settle() {
  for (const auto& [log, entry] : std::exchange(server_.passing_, {})) server_.reader_.written(log, entry);
  for (const auto& [log, number] : std::exchange(server_.doubtful_, {})) {
    const store::Entry& entry = server_.logs_.at(log).at(number);
    haunts_(log, entry);
    server_.reader_.written(log, entry);
  }
}

// --- Whose it is ------------------------------------------------------------------------------------------------

Result<std::uint64_t> SimStore::acquire(const store::Owner& /*owner*/) {
  if (!leased()) {
    take(Claim::free);
    return term_;
  }
  may_be_gone_ = false;
  if (away() && world_.chance.percent(70)) return no_answer();
  BOOST_OUTCOME_TRY(claim, may_take());
  if (server_.refuses()) return no_room();
  if (away()) {  // it arrives, and its answer does not
    tried_ = server_.lease_.term + 1;
    take(claim);
    term_ = 0;
    machine_.reset();
    return no_answer();
  }
  take(claim);
  return term_;
}

Result<SimStore::Claim> SimStore::may_take() {
  const SimServer::Lease& seen = server_.lease_;
  if (seen.term == 0 || seen.given_up) return Claim::free;
  if (seen.term == tried_) return seen.pausing ? Claim::ran_out : Claim::free;  // from a call whose answer was lost
  const bool gone = server_.holder_ == nullptr && seen.machine == place_;
  if (gone) return seen.pausing ? Claim::ran_out : Claim::free;
  const store::LeaseWatch::Verdict verdict = watch_.look(seen.text(), asked_, world_.now());
  if (verdict == store::LeaseWatch::Verdict::quiet) return Claim::ran_out;
  may_be_gone_ = verdict != store::LeaseWatch::Verdict::renewed;
  return store::held_by("the store", {"another machine", 1});
}

void SimStore::take(Claim claim) {
  if (server_.holder_ != nullptr && server_.holder_ != this) server_.holder_->settle();
  const bool pausing = claim == Claim::ran_out;
  server_.lease_ = {server_.lease_.term + 1, 1, place_, pausing, false};
  server_.holder_ = this;
  server_.speaks_from_ = speaks_from_ = pausing ? world_.now() + limits::store_takeover_pause : world_.now();
  term_ = server_.lease_.term;
  beat_ = 1;
  const Duration silence = pausing ? speaks_from_ - asked_ : Duration::zero();
  if (leased()) machine_.emplace(store::LeaseMachine::Options{.taken = asked_, .silence = silence}, world_.now());
}

std::optional<store::Renewal> SimStore::renew() {
  const bool silent = away();
  ++beat_;
  if (silent && world_.chance.percent(60)) return std::nullopt;
  store::Renewal answer;
  if (!has()) {
    answer.result = not_ours();
  } else if (server_.refuses()) {
    answer = {no_room(), Duration(limits::store_takeover_pause)};
  } else {
    server_.lease_.beat = beat_;
    server_.lease_.pausing = world_.now() < speaks_from_;
  }
  const bool lost = server_.loses_answers_ && world_.chance.percent(plan_.answers_lost);
  if (silent || lost) return std::nullopt;
  return answer;
}

void SimStore::check_alone() const {
  if (has() || world_.now() < server_.speaks_from_) return;
  world_.violation("the head of term {} acts, and another has had the store since {} ms", term_,
                   (world_.now() - server_.speaks_from_) / 1ms);
}

store::Hold SimStore::hold() const { return machine_ ? machine_->hold(world_.now()) : store::Hold::ours; }

Duration SimStore::silence_left() const { return machine_ ? machine_->silence_left(world_.now()) : Duration::zero(); }

void SimStore::moved(store::Part part) {
  if (machine_) machine_->moved(part, world_.now());
}

Result<void> SimStore::check_hold() {
  if (machine_) return machine_->state();
  if (away()) return no_answer();
  return boost::outcome_v2::success();
}

Result<std::uint64_t> SimStore::raise_term(std::uint64_t above) {
  if (away()) return no_answer();
  if (!has()) return not_ours();
  world_.violation("a peer knows term {}, and the head that has the store has {}", above, term_);
}

void SimStore::release() {
  if (has() && !away()) server_.lease_.given_up = true;
  term_ = 0;
}

// --- Logs -------------------------------------------------------------------------------------------------------

Result<std::vector<store::LogId>> SimStore::logs() {
  std::vector<store::LogId> ids;
  for (const auto& [id, entries] : server_.logs_) ids.push_back(id);
  return ids;
}

Result<void> SimStore::write(std::span<store::Change> changes) {
  if (away()) {
    return unanswered([&] {
      if (has()) server_.write(changes, true);
    });
  }
  if (!has()) return not_ours();
  if (server_.refuses()) return no_room();
  server_.write(changes);
  if (world_.chance.percent(plan_.written_twice)) server_.write(changes);
  return boost::outcome_v2::success();
}

Result<bool> SimStore::read(store::LogId log, store::Position& position, store::Attachments /*all are here*/,
                            const std::function<void(store::EntryNumber, store::Entry&&)>& each) {
  if (away()) return no_answer();
  if (!has()) return not_ours();
  const auto found = server_.logs_.find(log);
  if (found == server_.logs_.end()) return false;
  const std::uint64_t before = position.behind;
  auto next = found->second.upper_bound(position.behind);
  for (auto left = world_.chance.between(1, 8); left > 0 && next != found->second.end(); --left, ++next) {
    position.behind = next->first;
    each(next->first, store::Entry(next->second));
  }
  return position.behind > before;
}

Result<void> SimStore::replace(store::LogId /*log*/, std::span<const store::Entry> /*entries*/) {
  world_.violation("a log is written anew, and nothing is damaged");
}

Result<void> SimStore::remove(store::LogId log) {
  const auto effect = [&] {
    if (!has()) return;
    std::erase_if(server_.doubtful_, [log](const auto& entry) { return entry.first == log; });
    std::erase_if(server_.passing_, [log](const auto& entry) { return entry.first == log; });
    if (server_.logs_.erase(log) > 0) server_.reader_.removed(log);
  };
  if (away()) return unanswered(effect);
  if (!has()) return not_ours();
  effect();
  return boost::outcome_v2::success();
}

}  // namespace dc::sim
