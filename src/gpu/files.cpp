// See files.hpp.
#include "gpu/files.hpp"

#include <algorithm>
#include <charconv>
#include <cstdlib>
#include <fstream>
#include <sstream>

namespace dc::gpu {

namespace fs = std::filesystem;

fs::path sysfs() {
  const char* given = std::getenv(sysfs_variable);
  return given && *given ? given : "/sys";
}

std::string trimmed(std::string_view text) {
  constexpr std::string_view blanks = " \t\r\n";
  const std::size_t begin = text.find_first_not_of(blanks);
  if (begin == std::string_view::npos) return {};
  return std::string(text.substr(begin, text.find_last_not_of(blanks) - begin + 1));
}

std::string first_line(const fs::path& file) {
  std::ifstream stream(file);
  std::string line;
  std::getline(stream, line);
  return trimmed(line);
}

std::optional<std::uint64_t> number_in(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

std::vector<std::uint32_t> cpu_list(std::string_view text) {
  constexpr std::uint64_t cpus_max = 1 << 16;
  std::vector<std::uint32_t> cpus;
  std::stringstream ranges{std::string(text)};
  for (std::string range; std::getline(ranges, range, ',');) {
    const std::size_t dash = range.find('-');
    const auto first = number_in(range.substr(0, dash));
    const auto last = dash == std::string::npos ? first : number_in(range.substr(dash + 1));
    if (!first || !last || *last >= cpus_max) return {};
    for (std::uint64_t cpu = *first; cpu <= *last; ++cpu) cpus.push_back(static_cast<std::uint32_t>(cpu));
  }
  return cpus;
}

std::vector<std::string> cards_in_slots(const std::vector<std::string_view>& vendors) {
  std::vector<std::string> cards;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(sysfs() / "bus/pci/devices", ignored)) {
    const std::string vendor = first_line(entry.path() / "vendor"), kind = first_line(entry.path() / "class");
    const bool card = kind.starts_with("0x03") || kind.starts_with("0x12");
    if (card && std::find(vendors.begin(), vendors.end(), vendor) != vendors.end())
      cards.push_back(entry.path().filename());
  }
  return cards;
}

void add_place(Device& device) {
  if (device.pci.empty()) return;
  const fs::path place = sysfs() / "bus/pci/devices" / device.pci;
  // A machine with one node says -1, which is no number here.
  if (const auto node = number_in(first_line(place / "numa_node")); node && !device.numa_node) {
    device.numa_node = static_cast<std::uint32_t>(*node);
  }
  if (device.cpus.empty()) device.cpus = cpu_list(first_line(place / "local_cpulist"));
}

}  // namespace dc::gpu
