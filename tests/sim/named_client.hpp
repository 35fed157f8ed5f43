// Clients of a named pool: programs that open or attach to it, submit some jobs, read what earlier ones left, and
// leave, are killed, or close it for good. Several may want it at a time. When all is well again, a last one takes what
// is left.
#pragma once

#include <deque>
#include <map>
#include <memory>
#include <set>
#include <vector>

#include "client.hpp"

namespace dc::sim {

/// What the programs that use one named pool have in common.
struct NamedStory {
  NamedStory(World& world, Ledger& ledger, const PoolPlan& plan, std::size_t plan_number);

  PoolId pool;
  std::size_t number;  ///< of its plan
  PoolOptions options;
  std::size_t jobs_left;
  std::size_t updates_left;
  std::uint64_t programs = 0;  ///< that were started
  TimePoint ended{};           ///< when the latest of them did
  std::set<ClientId> gone;     ///< those that have ended, which can be seen on their machine
  bool ending = false;         ///< all is well: one more program, and no other
  bool closed = false;         ///< for good, and nobody comes any more
};

/// One place where programs run, one after the other; each is another client. The first place has the last program.
class NamedClient : public Client {
 public:
  NamedClient(World& world, Ledger& ledger, Network& network, const Plan& plan, std::shared_ptr<NamedStory> story,
              std::size_t place);

  void start() override;
  void crash() override;
  [[nodiscard]] bool over() const override { return !alive() && (story_->closed || (story_->ending && place_ > 0)); }
  void faults_are_over() override;

 private:
  enum class End { leaves, crashes, closes };
  /// What a program does; drawn when it starts.
  struct Program {
    std::uint64_t number = 0;
    bool last = false, reads = false, in_order = false;
    std::size_t submits = 0;
    End end = End::leaves;
    Duration acknowledges_after{};
    Duration stops_waiting_after{};  ///< while it leaves; zero: it does not
  };
  void heard(std::vector<wire::Message>&& messages) override;
  void take(client::Effects& effects) override;
  void abandons() override;
  void ends() override;
  void look_for_holder();
  void hear(const wire::Message& message);
  void settled(JobSequence sequence);
  void take(const client::Report& report);
  void is_over(const ErrorInfo& error);
  void take(client::StreamId stream, const client::Completed& completed);
  [[nodiscard]] JobId job_of(JobSequence sequence) const;

  client::ClientMachine::Config draw_program();
  void wake_user(Duration delay);
  void user_acts();
  void submit_some();
  client::NewJob new_job();
  void send_update();
  void drop_stream();
  void consume();
  void acknowledge();
  [[nodiscard]] bool has_all() const;
  void finish();
  void leave();
  void close();
  void check_settled() const;
  void end_process(bool in_order);

  const std::shared_ptr<NamedStory> story_;
  const std::size_t place_;

  // Of one program; a new one begins with all of this anew.
  struct State {
    Program program;
    bool open = false, ended = false;
    bool robbed = false;  ///< the pool is not its own any more
    ClientId id;
    bool looking = false;  ///< for one that has the pool and is away
    bool user_awake = false, consuming = false, acknowledging = false;
    std::shared_ptr<Generation> generation;
    std::map<JobSequence, JobId> own;
    std::set<JobSequence> waits_for;  ///< own jobs without an outcome
    std::set<JobSequence> unsettled;  ///< those that the head has neither accepted nor refused, as far as it was heard
    TimePoint left_at = never;        ///< when it began to leave the pool, which it had
    UpdateNumber updates_settled = 0;
    TimePoint settled_at{};     ///< when the head has taken something for the last time
    bool told_of_loss = false;  ///< that it is not known whether the head has all
    JobSequence last_job = 0;
    UpdateNumber last_update = 0;
    std::uint64_t earlier_left = 0;
    std::deque<JobSequence> arrived;       ///< outcomes that the consumer has not taken
    std::vector<JobSequence> done;         ///< and those that it has, to be acknowledged
    std::set<JobSequence> unacknowledged;  ///< without a confirmed acknowledgement
    std::set<JobSequence> taken;           ///< of these, when it began to leave: those that its user had done with
  };
  State now_;
};

}  // namespace dc::sim
