// Reading the journal of a named pool, and writing it anew.
#include "head/journal.hpp"

#include <fmt/format.h>

#include <cmath>
#include <exception>
#include <utility>

#include "core/mutation.hpp"
#include "head/head_machine.hpp"

namespace dc::head {
namespace {

/// A journal is written anew in entries of about this size, with no more than so many payloads each: attachments
/// are numbered by one byte.
constexpr std::size_t entry_bytes = std::size_t{256} << 10;
constexpr std::size_t entry_items = 128;

/// What would stop a head, or leave a pool without workers for ever. Limits that came later do not count.
std::string problem_of_stored(const PoolBorn& born) {
  PoolOptions options = born.options;
  if (std::isfinite(options.weight) && options.weight > 0) options.weight = 1;
  if (std::string problem = problem_of(options); !problem.empty()) return problem;
  if (!born.options.program_hash.empty() && born.program.empty()) return "its program is missing";
  return {};
}

/// Collects items and hands them on in entries of a bearable size.
template <class Entry, class Item>
class Packer {
 public:
  Packer(std::vector<store::Entry>& out, std::vector<Item> Entry::*items) : out_(out), items_(items) {}
  void add(Item item, std::size_t bytes) {
    (entry_.*items_).push_back(std::move(item));
    bytes_ += bytes;
    if (bytes_ >= entry_bytes || (large_ && (entry_.*items_).size() >= entry_items)) close();
  }
  void note_large() { large_ = true; }
  void close() {
    if (!(entry_.*items_).empty()) out_.push_back(encode(std::exchange(entry_, {})));
    bytes_ = 0;
    large_ = false;
  }

 private:
  std::vector<store::Entry>& out_;
  std::vector<Item> Entry::*items_;
  Entry entry_;
  std::size_t bytes_ = 0;
  bool large_ = false;  ///< an item stands beside its entry
};

bool stands_beside(const Payload& payload) {
  return payload.size() > limits::inline_payload_max || payload.is_elsewhere();
}

}  // namespace

Result<JournalEntry> decode(store::Entry&& entry) {
  try {
    const auto owner = std::make_shared<const std::string>(std::move(entry.bytes));
    const wire::Scoped<wire::DecodeScope> scope(wire::DecodeScope{owner, &entry.attachments, true});
    wire::ObjectReader reader(owner->data(), owner->size());
    JournalEntry decoded;
    wire::decode_message(reader.next(), decoded);
    return decoded;
  } catch (const std::exception& error) {
    return fail(ErrorCode::protocol, fmt::format("an entry of the journal cannot be read ({})", error.what()));
  }
}

std::string name_in(std::string_view first_entry) {
  try {
    wire::ObjectReader reader(first_entry.data(), first_entry.size());
    const msgpack::object entry = reader.next();
    if (entry.type != msgpack::type::ARRAY || entry.via.array.size != 2) return {};
    if (entry.via.array.ptr[0].as<std::uint8_t>() != PoolBorn::type) return {};
    const msgpack::object& born = entry.via.array.ptr[1];
    if (born.type != msgpack::type::ARRAY || born.via.array.size < 2) return {};
    return born.via.array.ptr[1].as<std::string>();
  } catch (const std::exception&) {
    return {};
  }
}

// --- Reading ----------------------------------------------------------------------------------------------------

void JournalState::add(store::EntryNumber number, store::Entry&& entry) {
  entries.seen(number);
  if (!problem_.empty()) return;
  at_ = {number, store::size_of(entry)};
  auto decoded = decode(std::move(entry));
  if (!decoded) {
    problem_ = decoded.error().message;
    return;
  }
  problem_ = contradiction(decoded.value());
  if (!problem_.empty()) {
    const auto* other = std::get_if<PoolBorn>(&decoded.value());
    foreign_ = other && other->version > PoolBorn{}.version;
    return;
  }
  std::visit([this](auto&& body) { apply(std::forward<decltype(body)>(body)); }, std::move(decoded.value()));
}

void JournalState::tell_keys() {
  keys_told = true;
  std::erase_if(keys, [](const auto& key) { return key.second.entry == 0; });
}

std::string JournalState::contradiction(const JournalEntry& entry) const {
  const auto bad_number = [](JobSequence sequence) { return sequence == 0 || sequence > limits::number_max; };
  if (const auto* other = std::get_if<PoolBorn>(&entry)) {
    if (other->version == 0 || other->version > PoolBorn{}.version) {
      return fmt::format("its journal is of version {}, and this head reads versions up to {}", other->version,
                         PoolBorn{}.version);
    }
    if (born && born->name != other->name) return "two pools are in one journal";
    return problem_of_stored(*other);
  }
  if (!born) return "its first entry is missing";
  if (const auto* jobs = std::get_if<JobsTaken>(&entry)) {
    for (const SubmittedJob& job : jobs->jobs) {
      if (bad_number(job.sequence)) return fmt::format("it has a job with number {}", job.sequence);
    }
  }
  if (const auto* update = std::get_if<UpdateCame>(&entry)) {
    if (update->number == 0 || update->number > updates.size() + 1) {
      return fmt::format("update {} follows after {}", update->number, updates.size());
    }
  }
  if (const auto* keyed = std::get_if<KeyedCame>(&entry)) {
    for (const KeyedCame::Item& item : keyed->items) {
      if (item.sequence > limits::number_max) return fmt::format("it has a job with number {}", item.sequence);
      if (item.key.empty()) return "it has the value of a key without the key";
    }
  }
  const auto* kept = std::get_if<KeyKept>(&entry);
  const auto* timed = std::get_if<KeysTimed>(&entry);
  if (const std::uint64_t time = kept ? kept->time : timed ? timed->time : 0; time > limits::number_max)
    return fmt::format("it has values of keys that came at second {}", time);
  if (const auto* summary = std::get_if<Summary>(&entry)) {
    JobSequence last = 0;
    for (const auto& interval : summary->taken) {
      if (interval.size() != 2 || interval[0] <= last || interval[1] < interval[0] || bad_number(interval[1]))
        return "its summary contradicts itself";
      last = interval[1];
    }
  }
  return {};
}

void JournalState::apply(PoolBorn&& entry) {
  if (born) return;
  holder = {entry.client, entry.host, entry.pid, entry.process};
  keys_told = entry.version > 1;
  born = std::move(entry);
}

void JournalState::apply(JobsTaken&& entry) {
  std::uint32_t open = 0;
  for (SubmittedJob& job : entry.jobs) {
    if (!taken.add(job.sequence)) continue;
    const JobSequence sequence = job.sequence;
    unfinished[sequence] = {std::move(job), at_.number};
    ++open;
  }
  entries.add(at_, open);
}

void JournalState::apply(ValuesCame&& entry) {
  std::uint32_t reasons = 0;
  for (wire::ValueItem& item : entry.items) reasons += finish(item.sequence, {std::move(item.value), {}});
  entries.add(at_, reasons);
}

void JournalState::apply(ErrorCame&& entry) {
  const bool counts = finish(entry.sequence, {std::move(entry.exception), std::move(entry.error)});
  entries.add(at_, counts);
}

void JournalState::apply(KeyedCame&& entry) {
  std::uint32_t reasons = 0;
  for (KeyedCame::Item& item : entry.items) {
    if (item.sequence != 0) reasons += finish(item.sequence, {item.value, {}});
    reasons += has_value(std::move(item.key), std::move(item.value));
  }
  entries.add(at_, reasons);
}

/// Whether the entry tells the value of the key from here on.
bool JournalState::has_value(std::string&& key, Payload&& value) {
  if (mutation::forget_keys) return false;
  KeyValue& known = keys[std::move(key)];
  if (known.entry != 0) return false;
  known = {std::move(value), at_.number};
  return true;
}

/// Whether this is the outcome of that job. The entry of the job may be gone, but not that of an outcome which somebody
/// is still to have.
bool JournalState::finish(JobSequence sequence, StoredOutcome outcome) {
  const auto found = unfinished.find(sequence);
  if (found == unfinished.end()) {
    if (undelivered.contains(sequence)) return false;
    taken.add(sequence);
    undelivered[sequence] = {std::move(outcome), at_.number};
    ++done;
    return true;
  }
  const JournaledJob& job = found->second;
  if (!keys_told && !job.key.empty() && !outcome.error && !mutation::forget_keys)
    keys.try_emplace(job.key, KeyValue{outcome.payload});
  const store::EntryNumber told_by = job.entry;
  unfinished.erase(found);
  entries.release(told_by);
  undelivered[sequence] = {std::move(outcome), at_.number, told_by};
  ++done;
  return true;
}

void JournalState::apply(UpdateCame&& entry) {
  if (entry.number == updates.size() + 1) updates.push_back(std::move(entry.payload));
}

void JournalState::apply(const Delivered& entry) {
  std::vector<store::EntryNumber> about, released;
  for (const JobSequence sequence : entry.sequences) {
    if (const auto outcome = undelivered.take(sequence)) {
      about.insert(about.end(), {outcome->entry, outcome->job_entry});
      released.push_back(outcome->entry != 0 ? outcome->entry : outcome->job_entry);
    } else if (const auto job = unfinished.take(sequence)) {  // the entry of its outcome is gone
      about.push_back(job->entry);
      released.push_back(job->entry);
    }
  }
  entries.add_note(at_, std::move(about), released);
}

void JournalState::apply(PoolBroke&& entry) {
  if (!broken) broken = std::move(entry.error);
  for (const auto& [sequence, job] : unfinished) {
    undelivered[sequence] = {{{}, broken}, 0, job.entry};
    ++done;
  }
  unfinished.clear();
}

void JournalState::apply(const Summary& entry) {
  for (const auto& interval : entry.taken) taken.add(interval[0], interval[1]);
  done = entry.done;
  if (entry.keys_told && !keys_told) tell_keys();
  summaries.push_back(at_);
}

void JournalState::apply(ClientCame&& entry) {
  entries.outdate(holder_entry);
  holder = std::move(entry);
  holder_entry = at_;
}

void JournalState::apply(KeyKept&& entry) {
  const bool is_new = has_value(std::string(entry.key), std::move(entry.value));
  if (is_new && entry.time != 0) key_times[entry.key] = entry.time;
  entries.add(at_, is_new);
}

void JournalState::apply(KeysTimed&& entry) {
  std::vector<store::EntryNumber> about;
  for (std::string& key : entry.keys) {
    const auto found = keys.find(key);
    if (found == keys.end()) continue;
    about.push_back(found->second.entry);
    key_times[std::move(key)] = entry.time;
  }
  entries.add_note(at_, std::move(about));
}

void JournalState::drop_keys(const KeysDropped& entry) {
  if (entry.number <= keys_dropped) return entries.add(at_, 0);
  keys_dropped = entry.number;
  std::vector<store::EntryNumber> told_by;
  if (entry.all_keys) {
    for (const auto& [key, value] : keys) told_by.push_back(value.entry);
    keys.clear();
    key_times.clear();
  }
  for (const std::string& key : entry.keys) {
    if (const auto found = keys.extract(key)) told_by.push_back(found.mapped().entry);
    key_times.erase(key);
  }
  entries.add_note(at_, std::vector(told_by), told_by);
}

Result<void> load_what_is_used(store::Store& store, JournalState& state) {
  std::vector<Payload*> used;
  if (state.born) used = {&state.born->spec, &state.born->program};
  for (Payload& update : state.updates) used.push_back(&update);
  for (Payload* payload : used) {
    BOOST_OUTCOME_TRY(loaded, store.load(*payload));
    *payload = std::move(loaded);
  }
  return boost::outcome_v2::success();
}

// --- Writing it anew --------------------------------------------------------------------------------------------

std::vector<store::Entry> JournalState::take() {
  std::vector<store::Entry> out;
  if (!born || !problem_.empty()) return out;
  out.push_back(encode(*born));
  for (UpdateNumber number = 1; number <= updates.size(); ++number)
    out.push_back(encode(UpdateCame{number, updates[number - 1]}));
  if (keys_dropped > 0) out.push_back(encode(KeysDropped{keys_dropped, {}}));
  for (auto& [key, value] : keys) {
    const auto time = key_times.find(key);
    out.push_back(encode(KeyKept{key, value.value, time == key_times.end() ? 0 : time->second}));
  }
  // Jobs stand before the summary, which makes their numbers old: those that are done are told as jobs without
  // arguments, so that their outcomes are taken.
  Packer<JobsTaken, SubmittedJob> jobs(out, &JobsTaken::jobs);
  Packer<ValuesCame, wire::ValueItem> values(out, &ValuesCame::items);
  constexpr std::size_t overhead = 32;
  for (const auto& [sequence, outcome] : undelivered) jobs.add({sequence, 0, {}, {}}, overhead);
  jobs.close();
  for (const auto& [sequence, outcome] : undelivered) {
    if (outcome.error && outcome.error.same_as(broken)) continue;  // ended by PoolBroke
    if (outcome.error) {
      out.push_back(encode(ErrorCame{sequence, *outcome.error, outcome.payload}));
      continue;
    }
    const std::size_t size = outcome.payload.size();
    if (stands_beside(outcome.payload)) values.note_large();
    values.add({sequence, std::move(outcome.payload)}, size + overhead);
  }
  values.close();
  for (const auto& [sequence, job] : unfinished) {
    const std::size_t size = job.arguments.size();
    if (stands_beside(job.arguments)) jobs.note_large();
    jobs.add(std::move(job), size + overhead);
  }
  jobs.close();
  if (broken) out.push_back(encode(PoolBroke{*broken}));
  Summary summary{{}, done, true};  // after all that counts outcomes
  for (const auto& [first, last] : taken.intervals()) {
    summary.taken.push_back({first, last});
    if (summary.taken.size() < limits::sequences_per_message) continue;
    out.push_back(encode(summary));
    summary.taken.clear();
  }
  out.push_back(encode(summary));
  out.push_back(encode(holder));
  return out;
}

}  // namespace dc::head
