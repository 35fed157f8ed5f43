// See text.hpp.
#include "core/text.hpp"

#include <fmt/format.h>

#include <cerrno>
#include <cstring>

namespace dc {
namespace {

constexpr std::size_t word_bytes_max = 50;
constexpr std::size_t continuation_bytes_max = 3;

bool continues(char byte) { return (static_cast<unsigned char>(byte) & 0xc0) == 0x80; }

/// `at`, or a little before it (`step` -1) or behind it (1), where a character begins.
std::size_t border(std::string_view text, std::size_t at, int step) {
  std::size_t moved = at;
  for (std::size_t i = 0; i < continuation_bytes_max && moved > 0 && moved < text.size() && continues(text[moved]); ++i)
    moved += static_cast<std::size_t>(step);
  return moved < text.size() && continues(text[moved]) ? at : moved;
}

}  // namespace

std::string shortened(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max) return std::string(text);
  const std::size_t half = (bytes_max - word_bytes_max) / 2;
  const std::size_t first = border(text, half, -1);
  const std::size_t last = border(text, text.size() - half, 1);
  return fmt::format("{} [... {} bytes left out ...] {}", text.substr(0, first), last - first, text.substr(last));
}

std::string errno_text(int error) {
  const std::string text = std::strerror(error);
  switch (error) {
    case EMFILE:
      return text + ", EMFILE: all descriptors that this process may have, see ulimit -n";
    case ENFILE:
      return text + ", ENFILE: all files that this system may have open, see fs.file-max";
    case ENOMEM:
      return text + ", ENOMEM: no memory, or all mappings that this process may have, see vm.max_map_count";
    default:
      return text;
  }
}

}  // namespace dc
