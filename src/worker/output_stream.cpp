// See output_stream.hpp.
#include "worker/output_stream.hpp"

#include <poll.h>
#include <pthread.h>
#include <unistd.h>

#include <cerrno>
#include <climits>
#include <system_error>
#include <thread>
#include <utility>
#include <vector>

#include "core/signals_blocked.hpp"

namespace dc::worker {
namespace {

using namespace std::chrono_literals;

constexpr auto storm_window = 100ms;
constexpr int storm_lines = 200;  // in a window: more are a storm
constexpr auto storm_pause = 50ms;
constexpr std::size_t storm_bytes_max = std::size_t{64} << 10;
constexpr std::uint64_t calm_bytes = 2048;  // in a pause: fewer are calm
constexpr int calm_pauses = 4;
constexpr std::size_t open_line_max = std::size_t{8} << 10;    // a longer one goes out in pieces
constexpr std::size_t late_bytes_max = std::size_t{16} << 20;  // who prints more waits for the reader
constexpr int full_pipe_poll_ms = 1000;

/// Of this process. Never destroyed.
std::vector<OutputStream*>& streams() {
  static auto* const all = new std::vector<OutputStream*>;
  return *all;
}

/// What one write should take: a pipe keeps so much together, and others who print into it cut none of these lines.
std::string_view next_piece(std::string_view bytes) {
  const std::string_view piece = bytes.substr(0, PIPE_BUF);
  const std::size_t last = piece.rfind('\n');
  return last == std::string_view::npos ? piece : piece.substr(0, last + 1);
}

}  // namespace

OutputStream::OutputStream(int fd, bool unbuffered) : fd_(fd), unbuffered_(unbuffered) {
  if (streams().empty()) ::pthread_atfork(before_fork, after_fork_in_parent, after_fork_in_child);
  streams().push_back(this);
}

/// So that no lock is held by a thread that the child does not have.
void OutputStream::before_fork() {
  for (OutputStream* stream : streams()) stream->io_.lock();
  for (OutputStream* stream : streams()) stream->mutex_.lock();
}

void OutputStream::after_fork_in_parent() {
  for (OutputStream* stream : streams()) stream->mutex_.unlock();
  for (OutputStream* stream : streams()) stream->io_.unlock();
}

void OutputStream::after_fork_in_child() {
  for (OutputStream* stream : streams()) {
    stream->buffer_.clear();  // the parent writes it
    stream->storm_ = stream->late_ = stream->has_thread_ = false;
    stream->is_copy_ = true;
  }
  after_fork_in_parent();
}

bool OutputStream::add(std::string_view bytes) {
  std::unique_lock lock(mutex_);
  if (bytes.empty() || swallows_) return false;
  found_ = {true, bytes.back() != '\n'};
  buffer_ += bytes;
  added_ += bytes.size();
  const bool whole = bytes.find('\n') != std::string_view::npos;
  if (!whole && !unbuffered_ && buffer_.size() <= open_line_max) return false;
  const bool begins = whole && storm_begins();
  if (!storm_) write_what_fits();
  if (storm_ && buffer_.size() > storm_bytes_max) wake_.notify_one();
  if (buffer_.size() > late_bytes_max || (late_ && !has_thread_)) {
    lock.unlock();
    write_out();
  }
  return begins;
}

void OutputStream::swallow(bool on) {
  const std::lock_guard lock(mutex_);
  swallows_ = on;
}

/// Whether one begins with the line that was added last.
bool OutputStream::storm_begins() {
  if (storm_ || unbuffered_ || is_copy_ || --left_ >= 0) return false;
  const auto now = Clock::now();
  const bool many = now - window_ < storm_window;
  window_ = now;
  left_ = storm_lines;
  if (!many || !start_thread()) return false;  // where there are too many threads, lines go on one by one
  storm_ = true;
  wake_.notify_one();
  return true;
}

bool OutputStream::start_thread() {
  if (has_thread_ || is_copy_) return has_thread_;
  try {
    const SignalsBlocked blocked;
    std::thread([this] { serve(); }).detach();
    has_thread_ = true;
  } catch (const std::system_error&) {
  }
  return has_thread_;
}

/// A pipe that says that it has room has it for so much.
void OutputStream::write_what_fits() {
  const std::unique_lock in_order(io_, std::try_to_lock);
  std::size_t written = 0;
  while (in_order && written < buffer_.size()) {
    pollfd ready{fd_, POLLOUT, 0};
    if (::poll(&ready, 1, 0) != 1 || (ready.revents & POLLOUT) == 0) break;
    const std::string_view piece = next_piece(std::string_view(buffer_).substr(written));
    const ssize_t now = ::write(fd_, piece.data(), piece.size());
    if (now < 0) break;
    written += static_cast<std::size_t>(now);
  }
  buffer_.erase(0, written);
  late_ = !buffer_.empty();
  if (late_ && start_thread()) wake_.notify_one();
}

/// What is late goes out as soon as it can; in a storm everything some times a second, until it is calm again.
void OutputStream::serve() {
  std::unique_lock lock(mutex_);
  while (true) {
    wake_.wait(lock, [this] { return storm_ || late_; });
    for (int calm = 0; storm_ && calm < calm_pauses;) {
      const std::uint64_t before = added_;
      wake_.wait_for(lock, storm_pause, [this] { return buffer_.size() > storm_bytes_max; });
      lock.unlock();
      write_out();
      lock.lock();
      calm = added_ - before < calm_bytes ? calm + 1 : 0;
    }
    storm_ = late_ = false;
    lock.unlock();
    write_out();  // what came since the last time
    lock.lock();
  }
}

void OutputStream::write_out() {
  const std::lock_guard in_order(io_);
  std::string bytes;
  {
    const std::lock_guard lock(mutex_);
    bytes.swap(buffer_);
  }
  write_all(bytes);
}

void OutputStream::write_all(std::string_view bytes) const {
  while (!bytes.empty()) {
    const std::string_view piece = next_piece(bytes);
    const ssize_t written = ::write(fd_, piece.data(), piece.size());
    if (written >= 0) {
      bytes.remove_prefix(static_cast<std::size_t>(written));
    } else if (errno == EAGAIN) {  // somebody who shares the pipe has made it one that does not wait
      pollfd ready{fd_, POLLOUT, 0};
      ::poll(&ready, 1, full_pipe_poll_ms);
    } else if (errno != EINTR) {
      return;
    }
  }
}

bool OutputStream::pending() {
  const std::lock_guard lock(mutex_);
  return !buffer_.empty();
}

bool OutputStream::in_storm() {
  const std::lock_guard lock(mutex_);
  return storm_;
}

OutputStream::Found OutputStream::take_found() {
  const std::lock_guard lock(mutex_);
  return std::exchange(found_, {});
}

}  // namespace dc::worker
