// The values of keys in a named pool: how they come, and how they are forgotten, because somebody says so or because
// they are old.
//
// Their age is the one thing that the clock on the wall decides: it has to go on while no head runs, and over a move to
// another machine. The time at which a value came stands in the journal. Values of earlier journals, and those that
// came while there was no limit, came when a head with one met them first.
#include <fmt/format.h>

#include <algorithm>
#include <unordered_set>

#include "head/kept_pool.hpp"

namespace dc::head {
namespace {

std::uint64_t seconds_of(WallTime wall) { return static_cast<std::uint64_t>(wall.time_since_epoch().count()); }

/// Lists of a bearable size, of which there may be none. `each` hears whether its list is the last one.
template <class Each>
void in_pieces(std::vector<std::string>&& keys, Each each) {
  std::vector<std::string> piece;
  std::size_t bytes = 0;
  for (auto key = keys.begin(); key != keys.end(); ++key) {
    bytes += key->size() + 8;
    piece.push_back(std::move(*key));
    const bool last = key + 1 == keys.end();
    if (!last && bytes < limits::keys_entry_bytes) continue;
    each(std::exchange(piece, {}), last);
    bytes = 0;
  }
}

}  // namespace

// --- How they come ----------------------------------------------------------------------------------------------

void KeptPool::key_has_value(const std::string& key, const Payload& value, PoolEffects& out) {
  if (!values_of_keys_.try_emplace(key, value.compact()).second) return;
  kept_bytes_ += value.size();
  if (bounds_.key_ttl.count() == 0) return;
  if (new_keys_.empty()) out.emplace_back(EndTurn{});
  new_keys_.push_back(key);
}

void KeptPool::stamp_keys(WallTime wall, PoolEffects& out) {
  if (new_keys_.empty()) return;
  set_times_back(wall);
  for (const std::string& key : new_keys_) key_times_.push_back({wall, key});
  in_pieces(std::exchange(new_keys_, {}), [&](std::vector<std::string>&& piece, bool) {
    keep({Pending::Kind::keys}, KeysTimed{seconds_of(wall), std::move(piece)}, false, out);
  });
}

/// Somebody has set the clock back: what came later than now came now.
void KeptPool::set_times_back(WallTime wall) {
  for (auto time = key_times_.rbegin(); time != key_times_.rend() && time->came > wall; ++time) time->came = wall;
}

/// What is too old by now is not there for the jobs that are to run.
void KeptPool::restore_keys(JournalState& state, WallTime wall, PoolEffects& out) {
  values_of_keys_ = std::move(state.keys);
  keys_dropped_ = state.keys_dropped;
  for (const auto& [key, value] : values_of_keys_) kept_bytes_ += value.size();
  if (bounds_.key_ttl.count() == 0) return;
  for (const auto& [key, value] : values_of_keys_) {
    const auto time = state.key_times.find(key);
    if (time == state.key_times.end())
      new_keys_.push_back(key);
    else
      key_times_.push_back({WallTime(std::chrono::seconds(time->second)), key});
  }
  std::sort(key_times_.begin(), key_times_.end(), [](const auto& a, const auto& b) { return a.came < b.came; });
  stamp_keys(wall, out);
  forget_old_keys(wall, out);
}

// --- How they are forgotten -------------------------------------------------------------------------------------

bool KeptPool::drop_value(const std::string& key) {
  const auto found = values_of_keys_.find(key);
  if (found == values_of_keys_.end()) return false;
  kept_bytes_ -= found->second.size();
  values_of_keys_.erase(found);
  return true;
}

void KeptPool::forget_keys(SessionId session, PoolId asked, std::vector<std::string>&& keys, bool all_keys,
                           PoolEffects& out) {
  Pending answer{Pending::Kind::keys};
  answer.leaver = session;
  answer.asked = asked;
  if (all_keys) {
    answer.number = values_of_keys_.size();
    for (const auto& [key, value] : values_of_keys_) kept_bytes_ -= value.size();
    values_of_keys_.clear();
    key_times_.clear();
    new_keys_.clear();
  } else {
    std::erase_if(keys, [this](const std::string& key) { return !drop_value(key); });
    answer.number = keys.size();
    const std::unordered_set<std::string_view> gone(keys.begin(), keys.end());
    std::erase_if(key_times_, [&](const KeyTime& time) { return gone.contains(time.key); });
    std::erase_if(new_keys_, [&](const std::string& key) { return gone.contains(key); });
  }
  if (answer.number == 0) return out.push_back(Send{session, wire::KeysForgotten{asked, 0}});
  out.emplace_back(Log{fmt::format("pool {}: the values of {} keys are forgotten", quoted(), answer.number)});
  if (!all_keys) return keep_dropped(std::move(answer), std::move(keys), out);
  end_turn(out);  // values that came before
  keep(std::move(answer), KeysDropped{++keys_dropped_, {}, true}, false, out);
}

void KeptPool::forget_old_keys(WallTime wall, PoolEffects& out) {
  set_times_back(wall);
  std::vector<std::string> due;
  for (; !key_times_.empty() && key_times_.front().came + bounds_.key_ttl <= wall; key_times_.pop_front()) {
    drop_value(key_times_.front().key);
    due.push_back(std::move(key_times_.front().key));
  }
  if (due.empty()) return;
  Pending pending{Pending::Kind::keys};
  pending.number = due.size();
  keep_dropped(std::move(pending), std::move(due), out);
}

/// They are forgotten here, and the journal is to forget them too. `pending` goes with the last entry.
void KeptPool::keep_dropped(Pending&& pending, std::vector<std::string>&& keys, PoolEffects& out) {
  end_turn(out);  // values that came before
  in_pieces(std::move(keys), [&](std::vector<std::string>&& piece, bool last) {
    keep(last ? std::move(pending) : Pending{Pending::Kind::keys}, KeysDropped{++keys_dropped_, std::move(piece)},
         false, out);
  });
}

/// The journal has forgotten them: who asked is told, and what they took is given back.
void KeptPool::keys_are_dropped(const Pending& pending, PoolEffects& out) {
  if (pending.leaver.value == 0) return shorten_if_worth(pending.number, out);
  out.emplace_back(Send{pending.leaver, wire::KeysForgotten{pending.asked, pending.number}});
  out.emplace_back(JournalCompact{log_});
}

}  // namespace dc::head
