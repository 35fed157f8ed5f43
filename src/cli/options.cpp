// See options.hpp.
#include "cli/options.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <nlohmann/json.hpp>
#include <string_view>

#include "core/paths.hpp"
#include "net/head_address.hpp"
#include "net/session.hpp"

namespace dc::cli {

namespace {

/// Bits of a password drawn at random from its kinds of characters; people's own have fewer.
constexpr double strong_bits = 60;

std::string take_from_environment() {
  char* value = std::getenv(password_variable);
  if (!value) return {};
  std::string password = value;
  std::memset(value, 0, password.size());
  ::unsetenv(password_variable);
  return password;
}

Result<std::string> read_password_file(const std::string& path) {
  const auto problem = [&](const std::string& what) {
    return fail(ErrorCode::invalid, fmt::format("the password file {} {}", path, what));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return problem(fmt::format("cannot be read ({})", std::strerror(errno)));
  struct stat status {};
  ::fstat(fd, &status);
  std::string password;
  std::array<char, 4096> buffer{};
  ssize_t size = 0;
  // Somewhat longer than any password, so that the wrong file is not read to its end.
  while (password.size() < (std::size_t{1} << 20) && (size = ::read(fd, buffer.data(), buffer.size())) > 0)
    password.append(buffer.data(), static_cast<std::size_t>(size));
  const int error = errno;
  ::close(fd);
  if (size < 0) return problem(fmt::format("cannot be read ({})", std::strerror(error)));
  if (S_ISREG(status.st_mode) && (status.st_mode & 077) != 0)
    return problem(fmt::format("can be read by others: chmod 600 {}", shell_word(path)));
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) password.pop_back();
  if (password.empty()) return problem("is empty");
  return password;
}

}  // namespace

Result<std::string> read_password(const PasswordSources& sources) {
  std::string from_environment = take_from_environment();
  if (sources.argument && sources.argument->empty())
    return fail(ErrorCode::invalid, "the password is empty: give one, or leave -r out");
  if (sources.argument) return *sources.argument;
  if (!sources.file.empty()) return read_password_file(sources.file);
  return from_environment;
}

std::string ask_password() {
  if (::isatty(STDIN_FILENO) == 0) return {};
  termios before{};
  ::tcgetattr(STDIN_FILENO, &before);
  termios silent = before;
  silent.c_lflag &= ~static_cast<tcflag_t>(ECHO);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &silent);
  std::cerr << "Password of the head: " << std::flush;
  std::string password;
  std::getline(std::cin, password);
  ::tcsetattr(STDIN_FILENO, TCSAFLUSH, &before);
  std::cerr << "\n";
  return password;
}

std::string make_password() { return fmt::format("{:016x}{:016x}", net::random_id(), net::random_id()); }

std::string weakness_of(const std::string& password) {
  const auto any = [&](auto is) { return std::any_of(password.begin(), password.end(), is); };
  const int alphabet = (any([](unsigned char c) { return std::isdigit(c) != 0; }) ? 10 : 0) +
                       (any([](unsigned char c) { return std::islower(c) != 0; }) ? 26 : 0) +
                       (any([](unsigned char c) { return std::isupper(c) != 0; }) ? 26 : 0) +
                       (any([](unsigned char c) { return std::isalnum(c) == 0; }) ? 30 : 0);
  if (static_cast<double>(password.size()) * std::log2(std::max(alphabet, 2)) >= strong_bits) return {};
  return "this password is easy to guess, and who guesses it runs programs on every node as the user who started it: "
         "choose a longer one, or leave it out and a random one is made";
}

void wipe(std::string& text) {
  ::explicit_bzero(text.data(), text.size());
  text.clear();
}

std::string fingerprint_check(const std::string& text) {
  if (net::are_fingerprints(text)) return {};
  return "a fingerprint is \"sha256:\" and 43 characters, as the head shows it in its join line; several stand with "
         "commas between them, without spaces";
}

std::string address_check(const std::string& text) {
  const auto addresses = net::head_addresses(text, limits::default_port);
  return addresses ? std::string() : addresses.error().message;
}

void hide_password(int argc, char** argv) {
  const auto wipe = [](char* text) { std::memset(text, 'x', std::strlen(text)); };
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "--password" || argument == "-r" || argument == "--store") {
      if (i + 1 < argc) wipe(argv[++i]);
    } else if (argument.starts_with("--password=")) {
      wipe(argv[i] + std::strlen("--password="));
    } else if (argument.starts_with("--store=")) {
      wipe(argv[i] + std::strlen("--store="));
    } else if (argument.starts_with("-r")) {
      wipe(argv[i] + 2);
    }
  }
}

std::string find_python() {
  namespace fs = std::filesystem;
  std::error_code ignored;
  const fs::path own = fs::read_symlink("/proc/self/exe", ignored);
  if (const fs::path beside = own.parent_path() / "python"; fs::exists(beside, ignored)) return beside.string();
  return paths::on_path("python3");
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
