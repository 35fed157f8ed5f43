// See output_lines.hpp.
#include "node/output_lines.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <utility>

namespace dc::node {

void OutputLines::emit(std::string line, std::vector<std::string>& lines) {
  last_.push_back(line);
  if (last_.size() > limits::output_tail_lines) last_.pop_front();
  lines.push_back(std::move(line));
}

void OutputLines::feed(std::string_view text, std::vector<std::string>& lines) {
  while (!text.empty()) {
    const std::size_t newline = text.find('\n');
    std::string_view part = text.substr(0, newline);
    text.remove_prefix(newline == std::string_view::npos ? text.size() : newline + 1);
    while (!part.empty()) {
      if (pieces_ >= pieces_max) {
        dropped_bytes_ += part.size();
        break;
      }
      const std::size_t room = limits::output_line_bytes_max - partial_.size();
      partial_ += part.substr(0, room);
      part.remove_prefix(std::min(room, part.size()));
      if (partial_.size() < limits::output_line_bytes_max) break;
      ++pieces_;
      emit(std::exchange(partial_, {}) + " [line continues]", lines);
    }
    if (newline != std::string_view::npos) finish(lines);
  }
}

void OutputLines::finish(std::vector<std::string>& lines) {
  if (dropped_bytes_ > 0) partial_ += fmt::format("[{} bytes of this line were dropped]", dropped_bytes_);
  // An empty line is a line too, unless it only ends one that came in pieces.
  if (!partial_.empty() || pieces_ == 0) emit(std::exchange(partial_, {}), lines);
  pieces_ = 0;
  dropped_bytes_ = 0;
}

std::string OutputLines::tail() const { return fmt::format("{}", fmt::join(last_, "\n")); }

}  // namespace dc::node
