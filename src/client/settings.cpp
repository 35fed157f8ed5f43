// Texts in a pool's settings.
#include "distributed_computing/settings.hpp"

#include <fmt/format.h>

#include <charconv>
#include <cmath>

namespace dc {
namespace {

constexpr double bytes_per_mebibyte = 1 << 20;
constexpr double mebibytes_max = 4'294'967'295.0;

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

/// Bytes of "GB" or "gib"; 0: no such unit.
double unit_of(std::string_view text) {
  if (text.size() < 2 || text.size() > 3 || (text.back() | 0x20) != 'b') return 0;
  const bool binary = text.size() == 3;
  if (binary && (text[1] | 0x20) != 'i') return 0;
  const auto power = std::string_view("kmgt").find(static_cast<char>(text[0] | 0x20));
  if (power == std::string_view::npos) return 0;
  return std::pow(binary ? 1024.0 : 1000.0, static_cast<double>(power + 1));
}

}  // namespace

GpuMemory::GpuMemory(std::string_view text) {
  const std::string_view wanted = trimmed(text);
  double number = 0;
  const auto [end, error] =
      std::from_chars(wanted.data(), wanted.data() + wanted.size(), number, std::chars_format::fixed);
  const double unit =
      error == std::errc{} ? unit_of(trimmed(wanted.substr(static_cast<std::size_t>(end - wanted.data())))) : 0;
  const double mebibytes = std::ceil(number * unit / bytes_per_mebibyte);
  if (unit == 0 || !(mebibytes >= 0 && mebibytes <= mebibytes_max))
    throw std::invalid_argument(fmt::format(
        "min_gpu_memory_required must be MiB or a text such as \"12GB\", \"12GiB\" or \"512MB\", not \"{}\"", text));
  mebibytes_ = static_cast<std::uint64_t>(mebibytes);
}

}  // namespace dc
