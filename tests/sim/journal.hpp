// The journal of named pools: what store/ and its thread do for the head, and what goes wrong with them. It outlives
// the head. Knows what is written, and checks that the head says nothing of a pool that is not.
#pragma once

#include <deque>
#include <functional>
#include <map>
#include <optional>
#include <set>
#include <vector>

#include "head/head_machine.hpp"
#include "ledger.hpp"
#include "plan.hpp"

namespace dc::sim {

class Journal {
 public:
  struct Head {
    std::function<void(Duration, World::Action)> later;  ///< in this life of it
    std::function<void(const std::vector<store::JournalThread::Done>&)> done;
  };
  Journal(World& world, Ledger& ledger, const Plan& plan) : world_(world), ledger_(ledger), plan_(plan) {}

  /// A life of the head begins. A store that did not answer does so now: a head would wait for it.
  void begin(Head head);
  /// And ends: in order, and all is written if the store can; or not, and what is under way is written, or not.
  void end(bool in_order);

  void append(head::JournalAppend&& append);
  void remove(const head::JournalRemove& remove);
  void shorten(PoolId pool);

  [[nodiscard]] const std::map<PoolId, std::vector<store::Entry>>& logs() const { return logs_; }
  /// What a head that starts reads.
  [[nodiscard]] head::JournalState read(PoolId pool) const;

  // What goes wrong.
  void fill(Duration time);
  void hush(Duration time);
  void mend();

  /// The head says this: it must be written.
  void check_told(const wire::Message& message) const;
  void check_handed(PoolId pool, JobSequence sequence) const;

 private:
  struct Waiting {
    store::Ticket ticket{};
    PoolId pool;
    std::optional<store::Entry> entry;  ///< none: the log is to be removed
    bool refusable = false;
    bool refused = false;  ///< and written nevertheless, perhaps
  };
  /// What was ever written of a pool.
  struct Written {
    std::set<JobSequence> jobs, outcomes, delivered;
    UpdateNumber updates = 0;
  };
  void begin_write();
  void end_write();
  void try_again(Duration pause);
  void not_answered();
  void is_full();
  void refuse(std::vector<Waiting>& from, const std::string& why);
  void write(const std::vector<Waiting>& batch);
  void note(PoolId pool, const store::Entry& entry);
  void finish(store::Ticket ticket, const std::string& refused);
  [[nodiscard]] bool in_trouble() const { return world_.now() < std::max(full_until_, silent_until_); }

  World& world_;
  Ledger& ledger_;
  const Plan& plan_;
  Head head_;
  std::map<PoolId, std::vector<store::Entry>> logs_;
  std::map<PoolId, Written> written_;
  TimePoint full_until_{}, silent_until_{};

  // Of this life of the head:
  std::deque<Waiting> queue_;
  std::vector<Waiting> batch_;       ///< under way, or to be tried again
  std::vector<Waiting> unanswered_;  ///< an earlier try, which may have been written; the next success takes it out
  bool writing_ = false, waking_ = false;
  std::optional<TimePoint> trouble_since_;
  std::vector<store::JournalThread::Done> done_;
};

}  // namespace dc::sim
