// What a worker does next: decisions only. One thing at a time: the class is constructed, updates are applied as they
// come (a long history need not be in memory at once), jobs run in the order in which they were given.
#pragma once

#include <deque>
#include <memory>
#include <optional>
#include <utility>

#include "wire/worker_messages.hpp"

namespace dc::worker {

class WorkerMachine {
 public:
  enum class Step {
    construct,         ///< then constructed()
    apply_update,      ///< next_update()
    receive_update,    ///< one is on its way, and passes the jobs that were handed over before it
    tell_constructed,  ///< the history is applied
    run_job,           ///< next_job()
    receive,           ///< there is nothing to do
    end,               ///< with exit_code()
  };

  void take(wire::ToWorker&& message);
  /// The handler of a signal ends the worker with this code.
  void signalled(int exit_code);
  /// It can run nothing more as it should: another takes its place, and the jobs that wait here.
  void spoiled() { spoiled_ = true; }
  /// The class is constructed; what it was given is not needed any more.
  void constructed() {
    constructed_ = true;
    begin_.reset();
  }

  /// `update_sent`: the number of the latest update that the node has sent, as the shared page has it.
  [[nodiscard]] Step next(UpdateNumber update_sent);
  [[nodiscard]] const wire::Begin& begin() const { return *begin_; }
  wire::WorkerUpdate next_update();
  wire::WorkerJob next_job();
  [[nodiscard]] int exit_code() const { return spoiled_ ? 1 : exit_code_.value_or(0); }
  /// SIGTERM has come to it.
  [[nodiscard]] bool terminated() const { return terminated_; }

 private:
  void on(wire::Begin&& message) { begin_ = std::make_unique<wire::Begin>(std::move(message)); }
  void on(wire::WorkerJob&& message) { jobs_.push_back(std::move(message)); }
  void on(wire::WorkerUpdate&& message);
  void on(wire::HistoryEnd&&) { history_end_ = true; }
  void on(wire::Stop&& message);

  std::unique_ptr<wire::Begin> begin_;
  std::deque<wire::WorkerJob> jobs_;
  std::deque<wire::WorkerUpdate> updates_;
  UpdateNumber updates_received_ = 0;
  bool constructed_ = false, history_end_ = false, spoiled_ = false, terminated_ = false;
  std::optional<int> exit_code_;
};

}  // namespace dc::worker
