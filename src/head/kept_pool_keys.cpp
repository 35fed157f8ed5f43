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

/// Whether it is the value from here on. The entry of the job's outcome will tell it.
bool KeptPool::key_has_value(const std::string& key, const Payload& value, PoolEffects& out) {
  if (!values_of_keys_.try_emplace(key, KeyValue{value.compact()}).second) return false;
  kept_bytes_ += value.size();
  if (bounds_.key_ttl.count() == 0) return true;
  if (new_keys_.empty()) out.emplace_back(EndTurn{});
  new_keys_.push_back(key);
  return true;
}

/// The values of these keys stand there.
void KeptPool::keys_stand_in(store::EntryNumber entry, const KeyedCame& keyed) {
  for (const KeyedCame::Item& item : keyed.items) {
    const auto value = values_of_keys_.find(item.key);
    if (value == values_of_keys_.end() || value->second.entry != 0) continue;
    value->second.entry = entry;
    entries_.need(entry);
  }
}

/// Of a journal of an earlier version: what is told by jobs and their outcomes alone is told by itself from here on.
void KeptPool::tell_keys(PoolEffects& out) {
  for (const auto& [key, value] : values_of_keys_) {
    if (value.entry == 0) keep_value(0, std::string(key), Payload(value.value), out);
  }
  end_turn(out);
}

void KeptPool::stamp_keys(WallTime wall, PoolEffects& out) {
  if (new_keys_.empty()) return;
  end_turn(out);  // the values come first
  set_times_back(wall);
  for (const std::string& key : new_keys_) key_times_.push_back({wall, key});
  in_pieces(std::exchange(new_keys_, {}), [&](std::vector<std::string>&& piece, bool) {
    std::vector<store::EntryNumber> about;
    for (const std::string& key : piece) about.push_back(values_of_keys_.at(key).entry);
    entries_.add_note(keep({Pending::Kind::keys}, KeysTimed{seconds_of(wall), std::move(piece)}, false, out),
                      std::move(about));
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
  for (const auto& [key, value] : values_of_keys_) kept_bytes_ += value.value.size();
  if (!state.keys_told) tell_keys(out);
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

/// The entry that told it; none: the key has no value.
std::optional<store::EntryNumber> KeptPool::drop_value(const std::string& key) {
  const auto found = values_of_keys_.find(key);
  if (found == values_of_keys_.end()) return std::nullopt;
  const KeyValue gone = std::move(found->second);
  kept_bytes_ -= gone.value.size();
  values_of_keys_.erase(found);
  return gone.entry;
}

void KeptPool::forget_keys(SessionId session, PoolId asked, std::vector<std::string>&& keys, bool all_keys,
                           PoolEffects& out) {
  end_turn(out);  // values that came before
  Pending answer{Pending::Kind::keys};
  answer.leaver = session;
  answer.asked = asked;
  std::vector<store::EntryNumber> told_by;
  if (all_keys) {
    answer.number = values_of_keys_.size();
    for (const auto& [key, value] : std::exchange(values_of_keys_, {})) {
      kept_bytes_ -= value.value.size();
      told_by.push_back(value.entry);
    }
    key_times_.clear();
    new_keys_.clear();
  } else {
    std::erase_if(keys, [&](const std::string& key) {
      const auto entry = drop_value(key);
      if (entry) told_by.push_back(*entry);
      return !entry;
    });
    answer.number = keys.size();
    const std::unordered_set<std::string_view> gone(keys.begin(), keys.end());
    std::erase_if(key_times_, [&](const KeyTime& time) { return gone.contains(time.key); });
    std::erase_if(new_keys_, [&](const std::string& key) { return gone.contains(key); });
  }
  if (answer.number == 0) return out.push_back(Send{session, wire::KeysForgotten{asked, 0}});
  out.emplace_back(Log{fmt::format("pool {}: the values of {} keys are forgotten", quoted(), answer.number)});
  if (!all_keys) return keep_dropped(std::move(answer), std::move(keys), std::move(told_by), out);
  const KeptEntry note = keep(std::move(answer), KeysDropped{++keys_dropped_, {}, true}, false, out);
  entries_.add_note(note, std::vector(told_by), told_by);
}

void KeptPool::forget_old_keys(WallTime wall, PoolEffects& out) {
  set_times_back(wall);
  if (key_times_.empty() || key_times_.front().came + bounds_.key_ttl > wall) return;
  end_turn(out);  // values that came before
  std::vector<std::string> due;
  std::vector<store::EntryNumber> told_by;
  for (; !key_times_.empty() && key_times_.front().came + bounds_.key_ttl <= wall; key_times_.pop_front()) {
    told_by.push_back(drop_value(key_times_.front().key).value_or(0));
    due.push_back(std::move(key_times_.front().key));
  }
  Pending pending{Pending::Kind::keys};
  pending.number = due.size();
  keep_dropped(std::move(pending), std::move(due), std::move(told_by), out);
}

/// They are forgotten here, and the journal is to forget them too. `pending` goes with the last entry; the values stood
/// in the entries `told_by`, one for each key.
void KeptPool::keep_dropped(Pending&& pending, std::vector<std::string>&& keys,
                            std::vector<store::EntryNumber>&& told_by, PoolEffects& out) {
  auto next = told_by.begin();
  in_pieces(std::move(keys), [&](std::vector<std::string>&& piece, bool last) {
    std::vector<store::EntryNumber> about(next, next + static_cast<std::ptrdiff_t>(piece.size()));
    next += static_cast<std::ptrdiff_t>(piece.size());
    const KeptEntry note = keep(last ? std::move(pending) : Pending{Pending::Kind::keys},
                                KeysDropped{++keys_dropped_, std::move(piece)}, false, out);
    entries_.add_note(note, std::vector(about), about);
  });
}

/// The journal has forgotten them: who asked is told.
void KeptPool::keys_are_dropped(const Pending& pending, PoolEffects& out) {
  if (pending.leaver.value != 0)
    out.emplace_back(Send{pending.leaver, wire::KeysForgotten{pending.asked, pending.number}});
  erase_if_worth(out);
}

}  // namespace dc::head
