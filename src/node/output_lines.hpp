// Cuts a stream of bytes into lines in bounded memory, and remembers the last ones.
#pragma once

#include <cstddef>
#include <deque>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.hpp"

namespace dc::node {

/// `text` with every byte that is not part of valid UTF-8 replaced by '?': what workers print ends in messages whose
/// readers insist on UTF-8.
std::string readable(std::string text);

class OutputLines {
 public:
  /// Appends the lines that `text` completes. Longer ones than limits::output_line_bytes_max come in pieces that are
  /// marked; after pieces_max of them the rest of such a line is dropped and counted.
  void feed(std::string_view text, std::vector<std::string>& lines);
  /// The stream has ended: appends what was printed without a newline.
  void finish(std::vector<std::string>& lines);
  /// The last lines, joined by newlines.
  [[nodiscard]] std::string tail() const;

  static constexpr std::size_t pieces_max = 16;
  static constexpr std::string_view piece_mark = " [line continues]";

 private:
  void end_line(std::vector<std::string>& lines);
  void emit(std::string line, std::vector<std::string>& lines);

  std::string partial_;
  std::size_t pieces_ = 0;         ///< of the present line so far
  std::size_t dropped_bytes_ = 0;  ///< of the present line
  std::deque<std::string> last_;
};

}  // namespace dc::node
