// See unshown_lines.hpp.
#include "core/unshown_lines.hpp"

#include <fmt/format.h>

#include "core/limits.hpp"

namespace dc {

std::string with_commas(std::uint64_t number) {
  std::string text = std::to_string(number);
  for (std::size_t at = text.size(); at > 3;) text.insert(at -= 3, 1, ',');
  return text;
}

std::string unshown_text(std::uint64_t lines) {
  return fmt::format("… {} {} not shown (more than {:.0f} a second)", with_commas(lines),
                     lines == 1 ? "line was" : "lines were", limits::output_lines_per_second);
}

}  // namespace dc
