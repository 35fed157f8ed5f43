// How far every job of this client has come, from the user to the head and back:
//
//   waiting    not sent so far
//   sent       kept with its arguments: a head may lose it, and gets it again
//   accepted   the head keeps it, so its arguments are not kept here
//   received   its outcome is here, and may come again, for the head does not know that for certain
//   confirmed  the head knows it: what comes again now is of a head that has lost its last entries
//
// A head that does not keep what it accepts has jobs sent until they are received, and confirmed with that: after a
// break it is told what is outstanding, and takes everything else as acknowledged.
#pragma once

#include <cstdint>
#include <deque>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "core/job.hpp"
#include "core/job_numbers.hpp"

namespace dc::client {

/// Number of a consumer of outcomes in this process.
using StreamId = std::uint64_t;
/// No consumer: the outcome is not wanted any more.
inline constexpr StreamId nobody = 0;

/// A job as the user gave it. Sequences come in rising order.
struct NewJob {
  StreamId stream{};
  SubmittedJob job;
};

class JobLadder {
 public:
  struct Sent {
    StreamId stream{};
    UpdateNumber after_update{};
    Payload arguments;
    std::string key;
  };
  using Ended = std::vector<std::pair<JobSequence, StreamId>>;
  /// What an outcome means that has come.
  struct Arrival {
    bool is_new = false;       ///< the user does not have it
    bool acknowledge = false;  ///< the head is to be told now that it is here
    bool revived = false;      ///< its acknowledgement was confirmed, and the head has lost that
    StreamId stream = nobody;  ///< of a job of this client
  };

  /// `head_keeps`: what it accepts, beyond its own life.
  explicit JobLadder(bool head_keeps) : head_keeps_(head_keeps) {}

  // --- The steps ---

  void add(NewJob&& job) { waiting_.push_back(std::move(job)); }
  /// The job that waits longest; some must. It may be moved from before drop_first().
  [[nodiscard]] NewJob& first_waiting() { return waiting_.front(); }
  void drop_first() { waiting_.pop_front(); }
  /// The first one that waits is sent: call it before it is moved from.
  void first_is_sent();
  /// The head keeps it.
  void accepted(JobSequence sequence);
  /// Its stream, if it was sent and is not any more.
  [[nodiscard]] std::pair<bool, StreamId> refused(JobSequence sequence);
  Arrival arrived(JobSequence sequence);
  /// The user has done with the outcome. True: the head is to be told now.
  bool consumed(JobSequence sequence);
  void confirmed(JobSequence sequence);

  // --- Who does not want what; what comes to an end ---

  /// Jobs of a stream that nobody reads any more. A head that keeps them runs them nevertheless.
  void drop(StreamId stream);
  /// Sent ones that nobody wants need not be asked for after a break, unless the head keeps them.
  void forget_unwanted();
  /// Accepted jobs behind `last_kept`, which the head has lost: they have come to an end, in this order.
  Ended lost_after(JobSequence last_kept);
  /// All have.
  Ended end();

  // --- How many, and which ---

  [[nodiscard]] bool has_waiting() const { return !waiting_.empty(); }
  [[nodiscard]] std::size_t sent() const { return sent_.size(); }
  [[nodiscard]] std::size_t sent_bytes() const { return sent_bytes_; }  ///< of arguments
  [[nodiscard]] std::size_t unsettled() const { return waiting_.size() + sent_.size(); }
  [[nodiscard]] std::size_t unfinished() const { return unsettled() + accepted_.size(); }
  [[nodiscard]] const Sent* find_sent(JobSequence sequence) const;
  /// In rising order: those that are sent; received; received, and done with by the user.
  [[nodiscard]] std::vector<JobSequence> outstanding() const;
  [[nodiscard]] std::vector<JobSequence> received() const;
  [[nodiscard]] std::vector<JobSequence> unconfirmed() const;
  [[nodiscard]] bool is_received(JobSequence sequence) const { return received_.contains(sequence); }
  [[nodiscard]] bool is_confirmed(JobSequence sequence) const { return confirmed_.contains(sequence); }

 private:
  std::pair<bool, StreamId> take_sent(JobSequence sequence);
  [[nodiscard]] StreamId take_accepted(JobSequence sequence);

  bool head_keeps_;
  std::deque<NewJob> waiting_;  ///< oldest first
  std::unordered_map<JobSequence, Sent> sent_;
  std::size_t sent_bytes_ = 0;
  std::unordered_map<JobSequence, StreamId> accepted_;  ///< of those that somebody wants
  std::unordered_map<JobSequence, bool> received_;      ///< true: the user has done with it
  JobNumbers confirmed_;
};

}  // namespace dc::client
