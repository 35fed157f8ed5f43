// See output.hpp.
#include "core/output.hpp"

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cerrno>
#include <cstdlib>
#include <ctime>
#include <new>
#include <system_error>
#include <thread>
#include <utility>

#include "core/signals_blocked.hpp"

namespace dc {
namespace {

constexpr std::size_t batch_bytes = std::size_t{64} << 10;
constexpr std::size_t entry_overhead = 128;  ///< so that empty lines are bounded too

std::string dropped_note(std::size_t lines) {
  return lines == 1 ? "[1 line was dropped because nobody read it]\n"
                    : fmt::format("[{} lines were dropped because nobody read them]\n", lines);
}

TimePoint monotonic_now() {  // safe in a signal's handler
  timespec now{};
  ::clock_gettime(CLOCK_MONOTONIC, &now);
  return TimePoint(std::chrono::seconds(now.tv_sec) + std::chrono::nanoseconds(now.tv_nsec));
}

}  // namespace

// --- The queue --------------------------------------------------------------------------------------------------

void OutputQueue::append(std::string text, std::size_t lines, std::string source) {
  bytes_ += text.size() + entry_overhead;
  entries_.push_back({std::move(text), lines, std::exchange(dropped_after_, 0), std::move(source)});
  unwritten_.fetch_add(1);
}

void OutputQueue::push(std::string text, std::size_t lines, std::string source) {
  const std::lock_guard lock(mutex_);
  append(std::move(text), lines, std::move(source));
  while (bytes_ > bytes_max_ && entries_.size() > 1) {
    const Entry oldest = std::move(entries_.front());
    entries_.pop_front();
    bytes_ -= oldest.text.size() + entry_overhead;
    unwritten_.fetch_sub(1);
    entries_.front().dropped_before += oldest.dropped_before + oldest.lines;
  }
  changed_.notify_one();
}

void OutputQueue::push_expendable(std::string text, std::size_t lines, std::string source) {
  const std::lock_guard lock(mutex_);
  if (bytes_ + text.size() + entry_overhead > bytes_max_ / 2) {
    dropped_after_ += lines;
    return;
  }
  append(std::move(text), lines, std::move(source));
  changed_.notify_one();
}

OutputQueue::Batch OutputQueue::take(Duration patience) {
  std::unique_lock lock(mutex_);
  unwritten_.fetch_sub(std::exchange(taken_, 0));
  progressed();
  changed_.wait_for(lock, std::min<Duration>(patience, std::chrono::hours(1)),
                    [this] { return ended_ || !entries_.empty(); });
  Batch batch;
  if (!entries_.empty()) batch.source = entries_.front().source;
  while (!entries_.empty() && batch.text.size() < batch_bytes && entries_.front().source == batch.source) {
    Entry& next = entries_.front();
    if (next.dropped_before > 0) batch.text += dropped_note(next.dropped_before);
    batch.lines += next.lines + next.dropped_before;
    bytes_ -= next.text.size() + entry_overhead;
    batch.text += next.text;
    ++taken_;
    entries_.pop_front();
  }
  if (entries_.empty() && dropped_after_ > 0 && taken_ > 0) {
    batch.lines += dropped_after_;
    batch.text += dropped_note(std::exchange(dropped_after_, 0));
  }
  return batch;
}

void OutputQueue::failed(std::size_t lines) {
  const std::lock_guard lock(mutex_);
  (entries_.empty() ? dropped_after_ : entries_.front().dropped_before) += lines;
}

void OutputQueue::end() {
  const std::lock_guard lock(mutex_);
  ended_ = true;
  changed_.notify_all();
}

bool OutputQueue::ended() {
  const std::lock_guard lock(mutex_);
  return ended_;
}

bool OutputQueue::drained() const {
  const TimePoint start = monotonic_now();
  TimePoint moved = start;
  std::uint64_t seen = progress_.load();
  while (unwritten_.load() > 0) {
    const timespec pause{0, 500'000};
    ::nanosleep(&pause, nullptr);
    const TimePoint now = monotonic_now();
    if (const std::uint64_t latest = progress_.load(); latest != seen) {
      seen = latest;
      moved = now;
    }
    if (now - moved > limits::output_stalled_after || now - start > limits::output_flush_max) return false;
  }
  return true;
}

void OutputQueue::settle() {
  if (unwritten_.load() == 0) return;
  const TimePoint latest = monotonic_now() + limits::output_settle_max;
  while (unwritten_.load() > 0) {
    const std::uint64_t progress = progress_.load();
    if (progress == stuck_at_.load()) return;
    if (monotonic_now() > latest) return stuck_at_.store(progress);
    const timespec pause{0, 50'000};
    ::nanosleep(&pause, nullptr);
  }
}

// --- The descriptors of this process ----------------------------------------------------------------------------

namespace output {
namespace {

/// Never destroyed: its thread may be writing when the process ends.
class Writer {
 public:
  explicit Writer(int fd) : fd_(fd) {}

  /// The queue, with a thread behind it; where the system has none to give now, the next line asks again.
  OutputQueue& queue() {
    if (!started_.exchange(true)) start();
    return queue_;
  }
  [[nodiscard]] bool drained() const { return queue_.drained(); }

 private:
  void start() {
    const SignalsBlocked blocked;  // SIGPIPE becomes EPIPE
    try {
      std::thread([this] { run(); }).detach();
    } catch (const std::system_error&) {
      started_ = false;
    }
  }

  [[noreturn]] void run() {
    while (true) {
      const OutputQueue::Batch batch = queue_.take(std::chrono::hours(1));
      if (!write(batch.text)) queue_.failed(batch.lines);
    }
  }

  /// Whole lines, no more than a pipe takes in one: other processes may write to it too.
  static std::size_t next_piece(std::string_view text) {
    if (text.size() <= PIPE_BUF) return text.size();
    const std::size_t end = text.rfind('\n', PIPE_BUF - 1);
    return end == text.npos ? PIPE_BUF : end + 1;
  }

  bool write(std::string_view text) {
    while (!text.empty()) {
      const ssize_t written = ::write(fd_, text.data(), next_piece(text));
      if (written > 0) {
        text.remove_prefix(static_cast<std::size_t>(written));
        queue_.progressed();
      } else if (written < 0 && errno == EAGAIN) {  // somebody else who has it has set O_NONBLOCK
        pollfd ready{fd_, POLLOUT, 0};
        ::poll(&ready, 1, -1);
      } else if (written >= 0 || errno != EINTR) {
        return false;
      }
    }
    return true;
  }

  OutputQueue queue_;
  std::atomic<bool> started_ = false;
  int fd_;
};

struct Writers {
  Writer* out;
  Writer* err;
  Writers* of_parent = nullptr;  // those that a fork has left behind
};

std::atomic<Writers*> writers = nullptr;
std::mutex making;

bool same_file(int one, int other) {
  struct stat a {
  }, b{};
  return ::fstat(one, &a) == 0 && ::fstat(other, &b) == 0 && a.st_dev == b.st_dev && a.st_ino == b.st_ino;
}

void flush_at_exit() { flush(); }

/// A child has none of our threads, and what is queued is the parent's to write.
void forget_in_child() {
  static Writers* forgotten = nullptr;  // their memory stays: the parent's threads are in the middle of it
  if (Writers* made = writers.exchange(nullptr)) made->of_parent = std::exchange(forgotten, made);
  new (&making) std::mutex;
}

Writers& of_process() {
  if (Writers* made = writers.load()) return *made;
  const std::lock_guard lock(making);
  if (Writers* made = writers.load()) return *made;
  static const bool registered = [] {
    ::pthread_atfork(nullptr, nullptr, forget_in_child);
    std::atexit(flush_at_exit);
    return true;
  }();
  (void)registered;
  auto* made = new Writers{};
  made->err = new Writer(STDERR_FILENO);
  made->out = same_file(STDOUT_FILENO, STDERR_FILENO) ? made->err : new Writer(STDOUT_FILENO);
  writers.store(made);
  return *made;
}

}  // namespace

void to_stdout(std::string text) { of_process().out->queue().push(std::move(text)); }

void to_stderr(std::string text) { of_process().err->queue().push(std::move(text)); }

void show_lines(int fd, std::string_view prefix, const std::vector<std::string>& lines) {
  std::string text;
  for (const std::string& line : lines) text.append(prefix).append(line).push_back('\n');
  (fd == STDERR_FILENO ? of_process().err : of_process().out)->queue().push_expendable(std::move(text), lines.size());
}

bool flush() {
  const Writers* made = writers.load();
  return !made || (made->err->drained() && (made->out == made->err || made->out->drained()));
}

}  // namespace output
}  // namespace dc
