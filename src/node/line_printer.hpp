// Shows the workers' output on a descriptor of the node without ever waiting for its reader.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>
#include <vector>

namespace dc::node {

class LinePrinter {
 public:
  explicit LinePrinter(int fd) : fd_(fd) {}
  /// Each line with `prefix` in front of it. Lines that a full pipe or a stopped terminal does not take are dropped;
  /// the next ones that it takes begin with their count.
  void print(std::string_view prefix, const std::vector<std::string>& lines);

 private:
  bool write_line(std::string_view text);
  void flush_unfinished();

  int fd_;
  std::string unfinished_;  ///< rest of a line of which a part was taken
  std::size_t dropped_ = 0;
  bool broken_ = false;  ///< nobody can read it any more
};

}  // namespace dc::node
