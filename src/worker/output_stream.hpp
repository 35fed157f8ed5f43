// What a worker's language prints, on its way into the pipe to the node: lines go out at once, so that none is lost
// when the process is killed; in a storm of them they go in blocks and some times a second, so that printing costs no
// more than into /dev/null.
#pragma once

#include <chrono>
#include <condition_variable>
#include <cstddef>
#include <cstdint>
#include <mutex>
#include <string>
#include <string_view>

namespace dc::worker {

/// For any thread. Lives as long as the process: a thread of its own may look at it at any time.
class OutputStream {
 public:
  /// `unbuffered`: everything goes out at once, not only whole lines.
  OutputStream(int fd, bool unbuffered);
  OutputStream(const OutputStream&) = delete;
  OutputStream& operator=(const OutputStream&) = delete;

  /// Takes these bytes, and does not wait for the reader of the pipe unless that is very far behind: what the pipe has
  /// no room for goes out later. True: a storm begins.
  bool add(std::string_view bytes);
  /// On: what is added is dropped. For a forked process, whose language has bytes that its parent will write.
  void swallow(bool on);
  /// Writes all that was added, in order. Waits for the reader. Without one the bytes are dropped.
  void write_out();
  [[nodiscard]] bool pending();
  /// Many lines come: those that are added go out some times a second.
  [[nodiscard]] bool in_storm();

  struct Found {
    bool printed = false;    ///< something was added
    bool open_line = false;  ///< and it did not end with a newline
  };
  /// Since this was asked last.
  Found take_found();

 private:
  using Clock = std::chrono::steady_clock;
  bool storm_begins();
  void write_what_fits();
  bool start_thread();
  void serve();
  void write_all(std::string_view bytes) const;
  static void before_fork();
  static void after_fork_in_parent();
  static void after_fork_in_child();

  const int fd_;
  const bool unbuffered_;
  std::mutex io_;     ///< is held while the pipe is written; taken before the other one, or only if it is free
  std::mutex mutex_;  ///< guards all below; nobody waits for anything while holding it
  std::condition_variable wake_;
  std::string buffer_;
  Found found_;
  std::uint64_t added_ = 0;
  int left_ = 0;  ///< lines until somebody looks at the clock
  Clock::time_point window_{};
  bool storm_ = false;
  bool late_ = false;        ///< something did not fit into the pipe: the thread writes it
  bool has_thread_ = false;  ///< or there was none to be had
  bool swallows_ = false;
  bool is_copy_ = false;  ///< a forked process: it has no thread, and gets none
};

}  // namespace dc::worker
