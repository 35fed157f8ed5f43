// See options.hpp.
#include "cli/options.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <unistd.h>

#include <filesystem>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/paths.hpp"
#include "net/head_address.hpp"
#include "net/session.hpp"

namespace dc::cli {

std::string fingerprint_check(const std::string& text) {
  if (net::are_fingerprints(text)) return {};
  return "a fingerprint is \"sha256:\" and 43 characters, as the head shows it in its join line; several stand with "
         "commas between them, without spaces";
}

std::string address_check(const std::string& text) {
  const auto addresses = net::head_addresses(text, limits::default_port);
  return addresses ? std::string() : addresses.error().message;
}

std::string key_check(const std::string& key) {
  if (!key.empty() && key.size() <= limits::job_key_bytes_max) return {};
  return fmt::format("a key has 1 to {} bytes, and this one has {}", limits::job_key_bytes_max, key.size());
}

std::string find_python() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path own = fs::read_symlink("/proc/self/exe", ignored);
  if (const fs::path beside = own.parent_path() / "python"; fs::exists(beside, ignored)) return beside.string();
  return paths::on_path("python3");
}

std::string python_of(const std::string& given) {
  if (given.empty()) return find_python();
  const std::string found = given.find('/') == std::string::npos ? paths::on_path(given) : std::string();
  std::error_code ignored;
  // Not canonical(): a virtual environment is known by the path of its link.
  return found.empty() ? std::filesystem::absolute(given, ignored).string() : found;
}

unsigned usable_cores() {
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&cores));
}

std::string shell_word(const std::string& text) {
  constexpr std::string_view plain = "abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789_-+=@%:,./";
  if (!text.empty() && text.find_first_not_of(plain) == std::string::npos) return text;
  std::string quoted = "'";
  for (const char letter : text) quoted += letter == '\'' ? std::string("'\\''") : std::string(1, letter);
  return quoted + "'";
}

pid_t owner_pid(const std::string& json) {
  const auto owner = nlohmann::json::parse(json, nullptr, false);
  if (!owner.is_object() || !owner.contains("pid") || !owner["pid"].is_number_integer()) return 0;
  return owner["pid"].get<pid_t>();
}

}  // namespace dc::cli
