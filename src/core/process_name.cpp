// See process_name.hpp.
#include "core/process_name.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <cstdint>
#include <fstream>
#include <iterator>
#include <string_view>

namespace dc {
namespace {

/// What makes a process id mean something.
std::string this_space() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::array<char, 64> space{};
  const ssize_t size = ::readlink("/proc/self/ns/pid", space.data(), space.size());
  return boot + "/" + std::string(space.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
}

/// When the process began, in ticks since the machine did; empty: there is none, or it has ended and waits for its
/// parent.
std::string start_of(std::uint32_t pid) {
  std::ifstream file(fmt::format("/proc/{}/stat", pid));
  const std::string stat{std::istreambuf_iterator<char>(file), {}};
  // "pid (name) state ...": the name may hold anything.
  const std::size_t name_end = stat.rfind(')');
  if (name_end == stat.npos) return {};
  std::string_view rest = std::string_view(stat).substr(name_end + 1);
  std::string_view field;
  constexpr int state = 1, start = 20;  // counted behind the name
  for (int i = 1; i <= start; ++i) {
    rest.remove_prefix(std::min(rest.find_first_not_of(' '), rest.size()));
    field = rest.substr(0, rest.find(' '));
    rest.remove_prefix(field.size());
    if (i == state && (field == "Z" || field == "X")) return {};
  }
  return std::string(field);
}

}  // namespace

std::string process_name() {
  const auto pid = static_cast<std::uint32_t>(::getpid());
  return fmt::format("{}/{}/{}", this_space(), pid, start_of(pid));
}

bool process_is_gone(const std::string& name) {
  const std::string here = this_space() + "/";
  if (!name.starts_with(here)) return false;
  std::uint32_t pid = 0;
  const char* end = name.data() + name.size();
  const auto [rest, problem] = std::from_chars(name.data() + here.size(), end, pid);
  if (problem != std::errc{} || rest == end || *rest != '/' || pid == 0) return false;
  return start_of(pid) != std::string_view(rest + 1, end);
}

}  // namespace dc
