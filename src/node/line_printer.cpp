// See line_printer.hpp.
#include "node/line_printer.hpp"

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>

namespace dc::node {

/// Writes what is taken of unfinished_. A pipe that poll() calls writable takes PIPE_BUF bytes without blocking, also
/// where the descriptor is not set to O_NONBLOCK (it may be shared with other processes, so we do not set it).
void LinePrinter::flush_unfinished() {
  pollfd ready{fd_, POLLOUT, 0};
  while (!unfinished_.empty() && !broken_ && ::poll(&ready, 1, 0) == 1) {
    if ((ready.revents & POLLOUT) == 0) {
      broken_ = true;
      return;
    }
    const ssize_t written = ::write(fd_, unfinished_.data(), std::min<std::size_t>(unfinished_.size(), PIPE_BUF));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) broken_ = errno != EAGAIN;
    if (written <= 0) return;
    unfinished_.erase(0, static_cast<std::size_t>(written));
  }
}

/// False when the line was not taken at all.
bool LinePrinter::write_line(std::string_view text) {
  flush_unfinished();
  if (broken_ || !unfinished_.empty()) return false;
  unfinished_ = text;
  flush_unfinished();
  if (unfinished_.size() < text.size()) return true;
  unfinished_.clear();
  return false;
}

void LinePrinter::print(std::string_view prefix, const std::vector<std::string>& lines) {
  std::string text;
  std::size_t in_text = 0;
  const auto write_text = [&] {
    if (!text.empty() && !write_line(text)) dropped_ += in_text;
    text.clear();
    in_text = 0;
  };
  for (const std::string& line : lines) {
    if (dropped_ > 0 && !broken_) {
      if (!write_line(fmt::format("[{} lines were not shown: the reader of this output is too slow]\n", dropped_))) {
        ++dropped_;
        continue;
      }
      dropped_ = 0;
    }
    // Several short lines go out in one system call.
    if (text.size() + prefix.size() + line.size() + 1 > PIPE_BUF) write_text();
    text.append(prefix).append(line).push_back('\n');
    ++in_text;
  }
  write_text();
}

}  // namespace dc::node
