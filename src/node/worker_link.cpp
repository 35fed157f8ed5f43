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

}  // namespace

WorkerLink::WorkerLink(net::EventLoop& loop, std::unique_ptr<WorkerProcess> process, Handler handler)
    : process_(std::move(process)), handler_(std::move(handler)), reader_(process_->socket()) {
  socket_watch_ = loop.watch(
      process_->socket(), [this] { read_socket(); }, [this] { send(); });
  output_watch_ = loop.watch(process_->output(), [this] { read_output(); });
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
  if (!messages.empty()) handler_.on_messages(std::move(messages));
  if (!problem.empty()) broken(fmt::format("what it sent cannot be read: {}", problem));
  return result;
}

void WorkerLink::read_socket() {
  if (receive(packets_per_turn) != wire::SocketResult::closed) return;
  socket_watch_->want_read(false);
  if (usable_) handler_.on_hang_up();
}

/// True at the end of the pipe.
bool WorkerLink::read_lines(int reads, std::vector<std::string>& lines) {
  std::array<char, output_buffer_bytes> buffer;
  ssize_t size = -1;
  for (int i = 0; i < reads && (size = ::read(process_->output(), buffer.data(), buffer.size())) > 0; ++i) {
    lines_.feed({buffer.data(), static_cast<std::size_t>(size)}, lines);
  }
  return size == 0;
}

void WorkerLink::read_output() {
  std::vector<std::string> lines;
  if (read_lines(output_reads_per_turn, lines)) output_watch_->want_read(false);
  if (!lines.empty()) handler_.on_lines(std::move(lines));
}

void WorkerLink::end() {
  end_watch_->want_read(false);
  output_watch_->want_read(false);
  socket_watch_->want_read(false);
  receive(std::numeric_limits<int>::max());  // results that were sent before the end count
  usable_ = false;
  const WorkerProcess::End end = process_->reap();
  // A pipe holds no more than these reads take; a stray process that still prints is not waited for.
  std::vector<std::string> lines;
  read_lines(output_reads_per_turn, lines);
  lines_.finish(lines);
  if (!lines.empty()) handler_.on_lines(std::move(lines));
  ProcessEnd ended;
  ended.last_output = lines_.tail();
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
