// See output_lines.hpp.
#include "node/output_lines.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

namespace dc::node {
namespace {

/// Length of the valid UTF-8 sequence at the start of `text`, 0 if there is none.
std::size_t sequence_length(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return 1;
  const std::size_t length = lead >= 0xC2 && lead <= 0xDF   ? 2
                             : (lead & 0xF0) == 0xE0        ? 3
                             : lead >= 0xF0 && lead <= 0xF4 ? 4
                                                            : 0;
  if (length == 0 || text.size() < length) return 0;
  for (std::size_t i = 1; i < length; ++i) {
    if ((byte(i) & 0xC0) != 0x80) return 0;
  }
  const bool overlong = (lead == 0xE0 && byte(1) < 0xA0) || (lead == 0xF0 && byte(1) < 0x90);
  const bool outside = (lead == 0xED && byte(1) > 0x9F) || (lead == 0xF4 && byte(1) > 0x8F);
  return overlong || outside ? 0 : length;
}

/// Where to cut `text`, which is as long as a piece may be, so that no character is torn apart.
std::size_t cut_before_torn_character(std::string_view text) {
  std::size_t start = text.size();
  for (std::size_t back = 1; back <= 4 && back <= text.size(); ++back) {
    const auto byte = static_cast<unsigned char>(text[text.size() - back]);
    if ((byte & 0xC0) == 0x80) continue;
    if (byte >= 0xC2 && sequence_length(text.substr(text.size() - back)) == 0) start = text.size() - back;
    break;
  }
  return start;
}

}  // namespace

std::string readable(std::string text) {
  for (std::size_t i = 0; i < text.size();) {
    const std::size_t length = sequence_length(std::string_view(text).substr(i));
    if (length == 0) text[i] = '?';
    i += std::max<std::size_t>(length, 1);
  }
  return text;
}

void OutputLines::emit(std::string line, std::vector<std::string>& lines) {
  line = readable(std::move(line));
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
      const std::size_t room = std::min(limits::output_line_bytes_max - partial_.size(), part.size());
      if (room == 0) {  // full, and there is more of the line
        std::string rest = partial_.substr(cut_before_torn_character(partial_));
        partial_.resize(partial_.size() - rest.size());
        ++pieces_;
        emit(std::exchange(partial_, std::move(rest)).append(piece_mark), lines);
        continue;
      }
      partial_ += part.substr(0, room);
      part.remove_prefix(room);
    }
    if (newline != std::string_view::npos) end_line(lines);
  }
}

void OutputLines::end_line(std::vector<std::string>& lines) {
  if (!partial_.empty() && partial_.back() == '\r') partial_.pop_back();
  if (dropped_bytes_ > 0) partial_ += fmt::format("[{} bytes of this line were dropped]", dropped_bytes_);
  // An empty line is a line too, unless it only ends one that came in pieces.
  if (!partial_.empty() || pieces_ == 0) emit(std::exchange(partial_, {}), lines);
  pieces_ = 0;
  dropped_bytes_ = 0;
}

void OutputLines::finish(std::vector<std::string>& lines) {
  if (!partial_.empty() || dropped_bytes_ > 0) end_line(lines);
}

std::string OutputLines::tail() const { return fmt::format("{}", fmt::join(last_, "\n")); }

}  // namespace dc::node
