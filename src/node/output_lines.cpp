// See output_lines.hpp.
#include "node/output_lines.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <cstring>
#include <utility>

namespace dc::node {
namespace {

constexpr std::string_view cursor_up = "\x1b[A";

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

std::string_view last_state(std::string_view line) {
  std::string_view text = line;
  while (!text.empty() && text.back() == '\r') text.remove_suffix(1);
  const std::size_t start = text.rfind('\r');
  if (start == text.npos) return text;
  text.remove_prefix(start + 1);
  const bool wiped = text.find_first_not_of(' ') == text.npos;  // a bar that takes itself away
  return wiped ? std::string_view{} : text;
}

std::size_t count_lines(std::string_view text) {
  std::size_t count = 0;
  while (const void* newline = text.empty() ? nullptr : std::memchr(text.data(), '\n', text.size())) {
    text.remove_prefix(static_cast<std::size_t>(static_cast<const char*>(newline) - text.data()) + 1);
    ++count;
  }
  return count;
}

// --- The last lines ---------------------------------------------------------------------------------------------

void KeptLines::add(std::string_view lines, std::size_t count) {
  count_ += count;
  if (lines.size() >= bytes_max_) {
    bytes_.assign(lines.substr(lines.size() - bytes_max_));
  } else {
    bytes_ += lines;
    if (bytes_.size() < 2 * bytes_max_) return;
    bytes_.erase(0, bytes_.size() - bytes_max_);
  }
  const std::size_t first = bytes_.find('\n') + 1;
  if (first < bytes_.size()) bytes_.erase(0, first);  // it is torn
}

std::vector<std::string> KeptLines::last(std::size_t most) const {
  std::vector<std::string> lines;
  std::string_view rest = bytes_;
  while (!rest.empty() && lines.size() < most) {
    rest.remove_suffix(1);  // the newline
    const std::size_t start = rest.rfind('\n') + 1;
    std::string_view line = last_state(rest.substr(start));
    const std::size_t shown = std::min(line.size(), limits::output_line_bytes_max);
    lines.push_back(readable(std::string(line.substr(0, shown))));
    if (shown < line.size()) lines.back() += fmt::format(" [{} bytes of this line were dropped]", line.size() - shown);
    rest = rest.substr(0, start);
  }
  std::reverse(lines.begin(), lines.end());
  return lines;
}

void KeptLines::clear() {
  bytes_.clear();
  count_ = 0;
}

// --- Lines ------------------------------------------------------------------------------------------------------

void OutputLines::feed(std::string_view text, std::size_t& room, Cut& cut) {
  while (!text.empty()) {
    if (room == 0) {
      if (const std::size_t last = text.rfind('\n'); last != text.npos) {
        skip(text.substr(0, last + 1), cut);
        text.remove_prefix(last + 1);
      }
      return grow(text, room, cut);
    }
    const std::size_t newline = text.find('\n');
    grow(text.substr(0, newline), room, cut);
    if (newline == text.npos) return;
    text.remove_prefix(newline + 1);
    if (take_cursor_up())
      at_start_ = true;
    else
      finish_line(room, cut);
  }
}

/// Bars below others go up after each state and down before the next one: that newline ends no line.
bool OutputLines::take_cursor_up() {
  if (!partial_.ends_with(cursor_up)) return false;
  partial_.resize(partial_.size() - cursor_up.size());
  return true;
}

/// Whole lines that are not shown; the first one may have begun before.
void OutputLines::skip(std::string_view lines, Cut& cut) {
  if (begun()) {
    const std::size_t first = lines.find('\n') + 1;
    std::size_t none = 0;
    grow(lines.substr(0, first - 1), none, cut);
    finish_line(none, cut);
    lines.remove_prefix(first);
  }
  const std::size_t count = count_lines(lines);
  cut.left_out += count;
  remember(lines, count);
}

void OutputLines::remember(std::string_view lines, std::size_t count) {
  tail_.add(lines, count);
  if (kept_) kept_->add(lines, count);
}

/// More of the present line.
void OutputLines::grow(std::string_view part, std::size_t& room, Cut& cut) {
  while (!part.empty()) {
    const std::size_t back = part.rfind('\r');
    if (back == part.npos) return append(part, room, cut);
    const std::string_view after = part.substr(back + 1);
    if (after.empty()) {  // it may be the first half of a newline, or the bar stays as it is
      const std::size_t end = part.find_last_not_of('\r') + 1;
      part = part.substr(0, end);
      const std::size_t start = part.rfind('\r');
      if (start != part.npos) at_start_ = true;
      append(part.substr(start + 1), room, cut);
      at_start_ = true;
      return;
    }
    at_start_ = true;
    part = after;
  }
}

/// Text without a '\r'.
void OutputLines::append(std::string_view part, std::size_t& room, Cut& cut) {
  if (part.empty()) return;
  if (std::exchange(at_start_, false)) {
    partial_.clear();
    dropped_bytes_ = 0;
  }
  while (!part.empty()) {
    if (pieces_ >= pieces_max || (room == 0 && partial_.size() >= limits::output_line_bytes_max)) {
      dropped_bytes_ += part.size();
      return;
    }
    const std::size_t size = std::min(limits::output_line_bytes_max - partial_.size(), part.size());
    if (size == 0) {  // full, and there is more of the line
      std::string rest = partial_.substr(cut_before_torn_character(partial_));
      partial_.resize(partial_.size() - rest.size());
      ++pieces_;
      emit(std::exchange(partial_, std::move(rest)).append(piece_mark), room, cut);
      continue;
    }
    partial_ += part.substr(0, size);
    part.remove_prefix(size);
  }
}

void OutputLines::finish_line(std::size_t& room, Cut& cut) {
  while (take_cursor_up()) at_start_ = true;
  // A bar that has taken itself away leaves nothing; an empty line is a line, unless it only ends one that came in
  // pieces.
  const bool wiped = at_start_ && !partial_.empty() && partial_.find_first_not_of(' ') == partial_.npos;
  const bool ends_pieces = partial_.empty() && dropped_bytes_ == 0 && pieces_ > 0;
  if (dropped_bytes_ > 0) partial_ += fmt::format("[{} bytes of this line were dropped]", dropped_bytes_);
  std::string line = std::exchange(partial_, {});
  at_start_ = false;
  pieces_ = 0;
  dropped_bytes_ = 0;
  if (!wiped && !ends_pieces) emit(std::move(line), room, cut);
}

void OutputLines::end_line(std::size_t& room, Cut& cut) {
  if (begun()) finish_line(room, cut);
}

void OutputLines::emit(std::string line, std::size_t& room, Cut& cut) {
  line += '\n';
  remember(line, 1);
  if (room == 0) {
    ++cut.left_out;
    return;
  }
  line.pop_back();
  --room;
  cut.lines.push_back(readable(std::move(line)));
}

}  // namespace dc::node
