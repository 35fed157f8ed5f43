// What the journal of a named pool says, entry by entry, and the state that comes of reading it when the head starts.
//
// Entries are read in the order of their numbers. Those that tell nothing that is needed any more are missing: see
// live_entries.hpp for which these are.
#pragma once

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <unordered_map>
#include <variant>
#include <vector>

#include "core/job.hpp"
#include "core/job_numbers.hpp"
#include "core/job_table.hpp"
#include "core/result.hpp"
#include "head/live_entries.hpp"
#include "store/store.hpp"
#include "wire/codec.hpp"
#include "wire/messages.hpp"

namespace dc::head {

// --- Entries ----------------------------------------------------------------------------------------------------
// Encoded like the messages of the protocol; payloads over limits::inline_payload_max become attachments. Smaller ones
// of jobs and outcomes that came together become one, where they are worth it: so entries are read without them.

/// The first entry.
struct PoolBorn {
  static constexpr std::uint8_t type = 1;
  std::uint32_t version = 2;  ///< of these entries; 1: the values of keys are told by jobs and their outcomes
  std::string name;
  PoolOptions options;
  Payload spec;
  Payload program;  ///< executable of a C++ pool
  std::uint64_t client{};
  PoolId id = {};
  // Of the client, see ClientCame:
  std::string host = {};
  std::uint32_t pid = 0;
  std::string process = {};
  MSGPACK_DEFINE(version, name, options, spec, program, client, id, host, pid, process)
};
struct JobsTaken {
  static constexpr std::uint8_t type = 2;
  std::vector<SubmittedJob> jobs;
  MSGPACK_DEFINE(jobs)
};
struct ValuesCame {
  static constexpr std::uint8_t type = 3;
  std::vector<wire::ValueItem> items;
  MSGPACK_DEFINE(items)
};
struct ErrorCame {
  static constexpr std::uint8_t type = 4;
  JobSequence sequence{};
  ErrorInfo error;
  Payload exception;
  MSGPACK_DEFINE(sequence, error, exception)
};
struct UpdateCame {
  static constexpr std::uint8_t type = 5;
  UpdateNumber number{};
  Payload payload;
  MSGPACK_DEFINE(number, payload)
};
/// The client has these outcomes: the jobs are over.
struct Delivered {
  static constexpr std::uint8_t type = 6;
  std::vector<JobSequence> sequences;
  MSGPACK_DEFINE(sequences)
};
/// The pool failed: every job without an outcome has this one, and no more are taken.
struct PoolBroke {
  static constexpr std::uint8_t type = 7;
  ErrorInfo error;
  MSGPACK_DEFINE(error)
};
/// What no other entry tells any more. Several, where there are many gaps in the numbers; the latest count.
struct Summary {
  static constexpr std::uint8_t type = 8;
  std::vector<std::vector<JobSequence>> taken;  ///< numbers of jobs that were taken, as pairs [first, last]
  std::uint64_t done{};                         ///< outcomes so far
  bool keys_told = false;                       ///< every key that has a value stands in a KeyedCame or KeyKept
  MSGPACK_DEFINE(taken, done, keys_told)
};
/// Of earlier versions, and of a journal that was written anew: the value of a job with a key, for later jobs with the
/// same one.
struct KeyKept {
  static constexpr std::uint8_t type = 9;
  std::string key;
  Payload value;
  std::uint64_t time = 0;  ///< see KeysTimed; 0: unknown
  MSGPACK_DEFINE(key, value, time)
};

/// Whose the pool is from here on, so that a new head does not listen to an earlier one, and gives this one time to
/// come back.
struct ClientCame {
  static constexpr std::uint8_t type = 10;
  std::uint64_t client{};
  std::string host = {};
  std::uint32_t pid = 0;
  std::string process = {};  ///< see core/process_name.hpp
  bool left = false;         ///< it has left the pool: nobody waits for it
  bool operator==(const ClientCame&) const = default;
  MSGPACK_DEFINE(client, host, pid, process, left)
};

/// When the values of these keys came, in seconds since 1970 by the wall clock; or, of those that came without this,
/// when they were met first. Only where values are kept for a time.
struct KeysTimed {
  static constexpr std::uint8_t type = 11;
  std::uint64_t time{};
  std::vector<std::string> keys;
  MSGPACK_DEFINE(time, keys)
};
/// The values of these keys, or of all there are, are forgotten. `number`: of this entry among those of its kind. In a
/// journal that was written anew the highest stands without keys.
struct KeysDropped {
  static constexpr std::uint8_t type = 12;
  std::uint64_t number{};
  std::vector<std::string> keys;
  bool all_keys = false;
  MSGPACK_DEFINE(number, keys, all_keys)
};

/// Outcomes that are the values of their keys from here on.
struct KeyedCame {
  static constexpr std::uint8_t type = 13;
  struct Item {
    JobSequence sequence{};  ///< 0: of a job that is over
    std::string key;
    Payload value;
    MSGPACK_DEFINE(sequence, key, value)
  };
  std::vector<Item> items;
  MSGPACK_DEFINE(items)
};

using JournalEntry = std::variant<PoolBorn, JobsTaken, ValuesCame, ErrorCame, UpdateCame, Delivered, PoolBroke, Summary,
                                  KeyKept, ClientCame, KeysTimed, KeysDropped, KeyedCame>;

/// `bundle`: takes the small payloads, and becomes the last attachment; null: they stand in the entry.
template <class Body>
store::Entry encode(const Body& body, wire::Bundle* bundle = nullptr) {
  store::Entry entry;
  const wire::Scoped<wire::EncodeScope> scope(wire::EncodeScope{&entry.attachments, true, bundle});
  wire::StringSink sink{entry.bytes};
  msgpack::packer<wire::StringSink> packer(sink);
  packer.pack_array(2);
  packer.pack_uint8(Body::type);
  packer.pack(body);
  if (bundle && !bundle->bytes.empty()) entry.attachments.emplace_back(std::move(bundle->bytes));
  return entry;
}
/// `protocol`: these bytes are no entry of this version.
Result<JournalEntry> decode(store::Entry&& entry);
/// The pool's name, from the bytes of its first entry alone; empty when they are none.
std::string name_in(std::string_view first_entry);

// --- State ------------------------------------------------------------------------------------------------------

/// How a job ended; there may be millions, with one error between them.
using StoredOutcome = Outcome;

struct JournaledJob : SubmittedJob {
  store::EntryNumber entry = 0;  ///< that tells it
};
struct JournaledOutcome : StoredOutcome {
  store::EntryNumber entry = 0;      ///< that tells it; 0: PoolBroke does
  store::EntryNumber job_entry = 0;  ///< that tells its job; 0: none does any more
};
struct KeyValue {
  Payload value;
  store::EntryNumber entry = 0;  ///< that tells it; 0: it is on its way, or told by a job and its outcome alone
};

/// All that a journal tells: add() every entry.
class JournalState {
 public:
  void add(store::EntryNumber number, store::Entry&& entry);
  /// Entries that tell the same, to be numbered from 1: for a journal that is written anew. The state is used up.
  std::vector<store::Entry> take();

  /// What was wrong with an entry, as a sentence; empty when nothing was. That entry and what came after it is not in
  /// the state.
  [[nodiscard]] std::string problem() const { return problem_; }
  /// What is told by a job and its outcome alone counts no longer for its key: see Summary.
  void tell_keys();
  /// Also of one that stood behind the cut: what was forgotten does not come back.
  void drop_keys(const KeysDropped& entry);
  /// It is of another version of the program, which can read it: nothing is to be cut off it.
  [[nodiscard]] bool foreign() const { return foreign_; }

  std::optional<PoolBorn> born;
  JobNumbers taken;
  JobTable<JournaledJob> unfinished;
  JobTable<JournaledOutcome> undelivered;
  std::vector<Payload> updates;
  std::unordered_map<std::string, KeyValue> keys;
  std::unordered_map<std::string, std::uint64_t> key_times;  ///< of those whose time is known
  std::uint64_t keys_dropped = 0;                            ///< number of the latest KeysDropped
  SharedError broken;
  std::uint64_t done = 0;
  ClientCame holder;  ///< whose it is
  LiveEntries entries;
  std::vector<KeptEntry> summaries;  ///< the latest ones, and those that they outdate
  KeptEntry holder_entry;
  bool keys_told = false;  ///< see Summary

 private:
  void apply(PoolBorn&& entry);
  void apply(JobsTaken&& entry);
  void apply(ValuesCame&& entry);
  void apply(ErrorCame&& entry);
  void apply(UpdateCame&& entry);
  void apply(const Delivered& entry);
  void apply(PoolBroke&& entry);
  void apply(const Summary& entry);
  void apply(KeyKept&& entry);
  void apply(ClientCame&& entry);
  void apply(KeysTimed&& entry);
  void apply(const KeysDropped& entry) { drop_keys(entry); }
  void apply(KeyedCame&& entry);
  bool finish(JobSequence sequence, StoredOutcome outcome);
  bool has_value(std::string&& key, Payload&& value);
  /// Why it cannot follow what was read before, as a sentence; empty: it can.
  [[nodiscard]] std::string contradiction(const JournalEntry& entry) const;
  KeptEntry at_;  ///< that is being added
  std::string problem_;
  bool foreign_ = false;
};

/// Brings here what of the state is used as long as there is the pool: class, program and updates. All other payloads
/// may stay in the store, which gave what stands for them.
Result<void> load_what_is_used(store::Store& store, JournalState& state);

}  // namespace dc::head
