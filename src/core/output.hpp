// Text for people who may not read it: a stopped terminal, a pager, a log shipper that hangs, a full disk. Nobody who
// prints ever waits for them.
#pragma once

#include <atomic>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <deque>
#include <mutex>
#include <string>
#include <string_view>
#include <vector>

#include "core/clock.hpp"
#include "core/limits.hpp"

namespace dc {

/// Lines between those who print and one thread that writes. Bounded: what nobody reads is dropped and counted, and the
/// count is told where the lines are missing.
class OutputQueue {
 public:
  explicit OutputQueue(std::size_t bytes_max = limits::unread_output_bytes_max) : bytes_max_(bytes_max) {}

  /// From any thread; never waits. Whole lines with their newlines; `lines` of them. Over the bound the oldest go
  /// first.
  void push(std::string text, std::size_t lines = 1, std::string source = {});
  /// The same for what is worth less: over half of the bound it is dropped itself.
  void push_expendable(std::string text, std::size_t lines, std::string source = {});

  /// Of one source: a name that only the two ends of a queue understand.
  struct Batch {
    std::string text;
    std::size_t lines = 0;
    std::string source = {};
  };
  /// For the writing thread: some of what is there; nothing when none comes within the time, or after end(). What it
  /// took before counts as written.
  [[nodiscard]] Batch take(Duration patience);
  /// It has written a part of what it took.
  void progressed() { progress_.fetch_add(1); }
  /// What it took could not be written: so many lines are dropped.
  void failed(std::size_t lines);
  /// take() waits no longer.
  void end();
  [[nodiscard]] bool ended();

  /// True once everything pushed so far is written. Waits while the writer makes progress, within the limits for who
  /// ends. Takes no lock: may be called in a signal's handler.
  [[nodiscard]] bool drained() const;
  [[nodiscard]] bool pending() const { return unwritten_.load() > 0; }
  /// The same for who would like it and does not insist: waits for a moment, and not again before the writer has moved.
  void settle();

 private:
  struct Entry {
    std::string text;
    std::size_t lines = 0;
    std::size_t dropped_before = 0;
    std::string source;
  };
  void append(std::string text, std::size_t lines, std::string source);

  const std::size_t bytes_max_;
  std::mutex mutex_;
  std::condition_variable changed_;
  std::deque<Entry> entries_;
  std::size_t bytes_ = 0;
  std::size_t dropped_after_ = 0;  ///< lines that stood behind the last entry
  std::size_t taken_ = 0;          ///< entries in the writer's hands
  bool ended_ = false;
  std::atomic<std::size_t> unwritten_ = 0;  ///< entries
  std::atomic<std::uint64_t> progress_ = 0;
  std::atomic<std::uint64_t> stuck_at_ = ~std::uint64_t{0};  ///< of progress_
};

/// The stdout and stderr of this process, each written by a thread of its own (one where both are the same file).
namespace output {

/// Whole lines with their newlines; neither ever waits.
void to_stdout(std::string text);
void to_stderr(std::string text);
/// What workers print, on stdout or stderr, each line with `prefix` in front of it.
void show_lines(int fd, std::string_view prefix, const std::vector<std::string>& lines);

/// Waits, for a bounded time, until all is written; false when it is not. Called by itself when the process exits in
/// order; to be called before _exit(). Takes no lock.
bool flush();

}  // namespace output
}  // namespace dc
