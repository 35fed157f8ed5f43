// See worker_machine.hpp.
#include "worker/worker_machine.hpp"

#include <variant>

namespace dc::worker {

void WorkerMachine::take(wire::ToWorker&& message) {
  std::visit([this](auto&& body) { on(std::move(body)); }, std::move(message));
}

void WorkerMachine::on(wire::WorkerUpdate&& message) {
  updates_received_ = message.number;
  updates_.push_back(std::move(message));
}

void WorkerMachine::on(wire::Stop&& message) {
  exit_code_ = 0;
  terminated_ = message.terminated != 0;
}

void WorkerMachine::signalled(int exit_code) {
  exit_code_ = exit_code;
  terminated_ = true;
}

WorkerMachine::Step WorkerMachine::next(UpdateNumber update_sent) {
  if (!constructed_) return begin_ ? Step::construct : Step::receive;
  if (spoiled_) return Step::end;
  if (!updates_.empty()) return Step::apply_update;
  if (update_sent > updates_received_) return Step::receive_update;
  if (std::exchange(history_end_, false)) return Step::tell_constructed;
  if (exit_code_) return Step::end;
  return jobs_.empty() ? Step::receive : Step::run_job;
}

wire::WorkerUpdate WorkerMachine::next_update() {
  wire::WorkerUpdate update = std::move(updates_.front());
  updates_.pop_front();
  return update;
}

wire::WorkerJob WorkerMachine::next_job() {
  wire::WorkerJob job = std::move(jobs_.front());
  jobs_.pop_front();
  return job;
}

}  // namespace dc::worker
