// Cuts a stream of bytes into lines in bounded memory. Lines for which there is no room are counted and never built.
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.hpp"

namespace dc::node {

/// `text` with every byte that is not part of valid UTF-8 replaced by '?': what workers print ends in messages whose
/// readers insist on UTF-8.
std::string readable(std::string text);

/// Of a line in which '\r' went back to its start again and again (a progress bar) what was written last.
std::string_view last_state(std::string_view line);

/// How many lines end in `text`.
std::size_t count_lines(std::string_view text);

/// The last lines of a stream, as bytes: they are built when somebody asks.
class KeptLines {
 public:
  explicit KeptLines(std::size_t bytes_max) : bytes_max_(bytes_max) {}
  /// Whole lines with their newlines; `count` of them.
  void add(std::string_view lines, std::size_t count);
  /// The last ones, at most so many.
  [[nodiscard]] std::vector<std::string> last(std::size_t most) const;
  /// How many there were since the last clear().
  [[nodiscard]] std::uint64_t count() const { return count_; }
  void clear();

 private:
  const std::size_t bytes_max_;
  std::string bytes_;
  std::uint64_t count_ = 0;
};

class OutputLines {
 public:
  struct Cut {
    std::vector<std::string> lines;
    std::uint64_t left_out = 0;  ///< lines for which there was no room
  };

  /// All lines go to `tail`, and to `kept` if there is one, also those that are not built.
  explicit OutputLines(KeptLines& tail, KeptLines* kept = nullptr) : tail_(tail), kept_(kept) {}

  /// Appends the lines that `text` completes, as far as there is room, which shrinks. Longer ones than
  /// limits::output_line_bytes_max come in pieces that are marked; after pieces_max of them the rest of such a line is
  /// dropped and counted.
  void feed(std::string_view text, std::size_t& room, Cut& cut);
  /// The present line, if there is one, gets no more: what was printed without a newline.
  void end_line(std::size_t& room, Cut& cut);

  static constexpr std::size_t pieces_max = 16;
  static constexpr std::string_view piece_mark = " [line continues]";

 private:
  void grow(std::string_view part, std::size_t& room, Cut& cut);
  void append(std::string_view part, std::size_t& room, Cut& cut);
  bool take_cursor_up();
  void finish_line(std::size_t& room, Cut& cut);
  void emit(std::string line, std::size_t& room, Cut& cut);
  void skip(std::string_view lines, Cut& cut);
  void remember(std::string_view lines, std::size_t count);
  [[nodiscard]] bool begun() const { return !partial_.empty() || pieces_ > 0 || dropped_bytes_ > 0; }

  KeptLines& tail_;
  KeptLines* kept_;
  std::string partial_;
  bool at_start_ = false;          ///< '\r' was read: what comes replaces `partial_`
  std::size_t pieces_ = 0;         ///< of the present line so far
  std::size_t dropped_bytes_ = 0;  ///< of the present line
};

}  // namespace dc::node
