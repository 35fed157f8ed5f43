// See redis_term.hpp.
#include "store/redis_term.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <array>
#include <charconv>
#include <fstream>

namespace dc::store {
namespace {

constexpr std::string_view pausing_word = "pausing";

std::optional<std::uint64_t> number(std::string_view text) {
  std::uint64_t value = 0;
  const auto [end, problem] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (problem != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

}  // namespace

std::optional<std::uint64_t> stored_counter(std::string_view term, std::string_view format) {
  const auto value = number(term);
  if (!value) return std::nullopt;
  const std::uint64_t counter = format == format_without_chance ? *value : counter_of(*value);
  if (counter >= term_counter_max) return std::nullopt;
  return counter;
}

std::string Lease::text() const {
  return fmt::format("{} {} {} {} {} {}{}{}", term, owner.pid, owner.host, machine, beat,
                     connection.empty() ? "0" : connection, pausing ? " " : "", pausing ? pausing_word : "");
}

Lease Lease::parse(std::string_view text) {
  std::vector<std::string_view> words;
  while (!text.empty()) {
    const std::size_t end = text.find(' ');
    words.push_back(text.substr(0, end));
    text.remove_prefix(end == text.npos ? text.size() : end + 1);
  }
  Lease lease;
  if (!words.empty() && words.back() == pausing_word) {
    lease.pausing = true;
    words.pop_back();
  }
  words.resize(6);
  lease.term = words[0];
  lease.owner = {std::string(words[2]), static_cast<std::uint32_t>(number(words[1]).value_or(0))};
  lease.machine = words[3];
  lease.beat = number(words[4]).value_or(0);
  if (words[5] != "0") lease.connection = words[5];
  return lease;
}

std::string this_machine() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  std::array<char, 64> space{};
  const ssize_t size = ::readlink("/proc/self/ns/pid", space.data(), space.size());
  return boot + "/" + std::string(space.data(), size > 0 ? static_cast<std::size_t>(size) : 0);
}

}  // namespace dc::store
