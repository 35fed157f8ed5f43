// See worker_link.hpp.
#include "node/worker_link.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <exception>
#include <limits>
#include <utility>

namespace dc::node {
namespace {

// Per turn and worker, so that a chatty one does not keep the loop from the others.
constexpr int packets_per_turn = 16;
constexpr int output_reads_per_turn = 4;
/// So many packets are put together before the worker has taken them.
constexpr std::size_t packets_ahead_max = 16;
constexpr std::size_t output_buffer_bytes = std::size_t{64} << 10;
constexpr std::uint32_t long_job_us = 1000;  ///< for which a further system call is nothing

}  // namespace

WorkerLink::WorkerLink(net::EventLoop& loop, std::unique_ptr<WorkerProcess> process, Handler handler, Output output)
    : loop_(loop),
      process_(std::move(process)),
      handler_(std::move(handler)),
      reader_(process_->socket()),
      pace_(std::move(output.pace)),
      output_(output.token, output.only_errors) {
  socket_watch_ = loop.watch(
      process_->socket(), [this] { read_socket(); }, [this] { send(); });
  output_watch_ = loop.watch(process_->output(), [this] { read_output(OutputStream::out); });
  errors_watch_ = loop.watch(process_->errors(), [this] { read_output(OutputStream::err); });
  end_watch_ = loop.watch(process_->pidfd(), [this] { end(); });
}

// --- To the worker ----------------------------------------------------------------------------------------------

void WorkerLink::queue(wire::ToWorker&& message) {
  if (!usable_) return;
  if (backlog_.empty() && filling_.size() + outgoing_.size() < packets_ahead_max) return encode(message);
  backlog_.push_back(std::move(message));
}

void WorkerLink::encode(const wire::ToWorker& message) {
  if (const auto* update = std::get_if<wire::WorkerUpdate>(&message)) filling_update_ = update->number;
  try {
    wire::append(filling_, message);
  } catch (const std::exception& error) {
    broken(fmt::format("a message for it cannot be put together: {}", error.what()));
  }
}

/// False when there is nothing more to send.
bool WorkerLink::fill() {
  while (usable_ && !backlog_.empty() && filling_.size() + outgoing_.size() < packets_ahead_max) {
    encode(backlog_.front());
    backlog_.pop_front();
  }
  for (wire::Packet& packet : filling_) outgoing_.push_back({std::move(packet), 0});
  if (!filling_.empty()) outgoing_.back().update = filling_update_;
  filling_.clear();
  return !outgoing_.empty();
}

void WorkerLink::send() {
  try {
    while (fill() && usable_) {
      const auto result = wire::send_packet(process_->socket(), outgoing_.front().packet, false);
      if (result == wire::SocketResult::would_block) break;
      if (result == wire::SocketResult::closed) usable_ = false;  // read_socket or its end tells the rest
      // Only now may the worker be told to look for the update: it would wait for it.
      if (const UpdateNumber update = outgoing_.front().update) process_->claims()->update_sent.store(update);
      outgoing_.pop_front();
    }
  } catch (const std::exception& error) {
    broken(error.what());
  }
  if (!usable_) {
    outgoing_.clear();
    backlog_.clear();
  }
  const bool blocked = !outgoing_.empty();
  if (std::exchange(blocked_, blocked) != blocked) socket_watch_->want_write(blocked);
}

void WorkerLink::broken(std::string why) {
  if (!std::exchange(usable_, false)) return;
  socket_watch_->want_read(false);
  handler_.on_broken(std::move(why));
}

// --- From the worker --------------------------------------------------------------------------------------------

wire::SocketResult WorkerLink::receive(int packets) {
  std::vector<wire::FromWorker> messages;
  auto result = wire::SocketResult::done;
  std::string problem;
  try {
    for (int i = 0; i < packets && result == wire::SocketResult::done; ++i) {
      result = reader_.receive(false, messages);
    }
  } catch (const std::exception& error) {
    problem = error.what();
    result = wire::SocketResult::closed;
  }
  if (!messages.empty()) {
    read_before_results(messages);
    handler_.on_messages(std::move(messages));
  }
  if (!problem.empty()) broken(fmt::format("what it sent cannot be read: {}", problem));
  return result;
}

void WorkerLink::read_socket() {
  if (receive(packets_per_turn) != wire::SocketResult::closed) return;
  socket_watch_->want_read(false);
  if (usable_) handler_.on_hang_up();
}

// --- What it prints ---------------------------------------------------------------------------------------------

/// `take` takes output in, with so much room for lines.
void WorkerLink::take_in(const std::function<void(std::size_t& room)>& take) {
  constexpr std::size_t enough = std::numeric_limits<std::size_t>::max() / 2;
  const std::size_t room = pace_ ? pace_->room(net::EventLoop::now()) : enough;
  std::size_t left = room;
  take(left);
  if (pace_) pace_->spend(room - left);
}

void WorkerLink::tell_printed() {
  auto printed = output_.take();
  if (printed.empty()) return;
  printed_told_at_ = net::EventLoop::now();
  handler_.on_printed(std::move(printed));
}

/// Takes in what is there, and says how much it was.
std::size_t WorkerLink::read_stream(OutputStream stream, bool& at_end) {
  const int fd = stream == OutputStream::out ? process_->output() : process_->errors();
  std::size_t taken = 0;
  take_in([&](std::size_t& room) {
    std::array<char, output_buffer_bytes> buffer;
    ssize_t size = -1;
    for (int i = 0; i < output_reads_per_turn && (size = ::read(fd, buffer.data(), buffer.size())) > 0; ++i) {
      taken += static_cast<std::size_t>(size);
      output_.feed(stream, {buffer.data(), static_cast<std::size_t>(size)}, room);
      if (static_cast<std::size_t>(size) < buffer.size()) break;
    }
    at_end = size == 0;
  });
  return taken;
}

void WorkerLink::read_output(OutputStream stream) {
  const bool out = stream == OutputStream::out;
  net::FdWatch& watch = out ? *output_watch_ : *errors_watch_;
  bool at_end = false;
  const std::size_t taken = read_stream(stream, at_end);
  if (at_end) watch.want_read(false);
  if (at_end || taken < limits::output_much_bytes) return tell_printed();
  // Who prints so much is read some times a second, and does not wake the node with every line.
  watch.want_read(false);
  (out ? output_paused_ : errors_paused_) = true;
  output_pause_ = loop_.call_at(net::EventLoop::now() + limits::output_read_pause, [this] { go_on_reading(); });
}

void WorkerLink::go_on_reading() {
  if (std::exchange(output_paused_, false)) output_watch_->want_read(true);
  if (std::exchange(errors_paused_, false)) errors_watch_->want_read(true);
  if (const TimePoint due = printed_told_at_ + limits::output_told_interval; net::EventLoop::now() < due)
    output_pause_ = loop_.call_at(due, [this] { go_on_reading(); });
  else
    tell_printed();
}

/// A job's lines come before its result. The pipe itself tells of them in time, as a rule, unless it is not being
/// looked at, or its last event was still being handled.
void WorkerLink::read_before_results(const std::vector<wire::FromWorker>& messages) {
  bool printed = process_->claims()->printed.exchange(0) != 0 || output_paused_ || errors_paused_;
  for (const wire::FromWorker& message : messages) {
    if (const auto* value = std::get_if<wire::WorkerValue>(&message))
      printed = printed || value->run_time_us >= long_job_us;
    else
      printed = true;
  }
  if (!printed) return tell_printed();
  bool at_end = false;
  read_stream(OutputStream::out, at_end);
  read_stream(OutputStream::err, at_end);
  tell_printed();
}

void WorkerLink::end_lines() {
  take_in([this](std::size_t& room) { output_.end_lines(room); });
  tell_printed();
}

// --- Its end ----------------------------------------------------------------------------------------------------

void WorkerLink::end() {
  end_watch_->want_read(false);
  output_watch_->want_read(false);
  errors_watch_->want_read(false);
  output_paused_ = errors_paused_ = false;
  output_pause_.reset();
  socket_watch_->want_read(false);
  receive(std::numeric_limits<int>::max());  // results that were sent before the end count
  usable_ = false;
  const WorkerProcess::End end = process_->reap();
  // A pipe holds no more than these reads take; a stray process that still prints is not waited for.
  bool at_end = false;
  read_stream(OutputStream::out, at_end);
  read_stream(OutputStream::err, at_end);
  const bool failed = !handler_.ended_well || !handler_.ended_well();
  take_in([&](std::size_t& room) { output_.end(failed, room); });
  tell_printed();
  ProcessEnd ended;
  ended.last_output = output_.tail();
  if (const std::string stack = python_stack(process_->crash_text(), end.signal); !stack.empty()) {
    if (!ended.last_output.empty()) ended.last_output += '\n';
    ended.last_output += stack;
  }
  ended.spawn_error = process_->exec_problem();
  if (end.signal != 0) {
    ended.signal = end.signal;
  } else {
    ended.exit_status = end.exit_status;
  }
  handler_.on_end(ended);
}

}  // namespace dc::node
