// See options.hpp.
#include "cli/options.hpp"

#include <fmt/format.h>
#include <sched.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <iostream>
#include <sstream>

#include "net/session.hpp"

namespace dc::cli {

Result<std::string> read_password(const PasswordSources& sources) {
  std::string from_environment;
  if (const char* value = std::getenv(password_variable)) {
    from_environment = value;
    ::unsetenv(password_variable);
  }
  if (!sources.argument.empty()) return sources.argument;
  if (sources.file.empty()) return from_environment;
  struct stat status {};
  if (::stat(sources.file.c_str(), &status) != 0) {
    return fail(ErrorCode::invalid,
                fmt::format("cannot read the password file {} ({})", sources.file, std::strerror(errno)));
  }
  if ((status.st_mode & 077) != 0) {
    return fail(ErrorCode::invalid,
                fmt::format("the password file {} can be read by others: chmod 600 {}", sources.file, sources.file));
  }
  std::ifstream file(sources.file, std::ios::binary);
  std::stringstream text;
  text << file.rdbuf();
  std::string password = text.str();
  while (!password.empty() && (password.back() == '\n' || password.back() == '\r')) password.pop_back();
  if (!file || password.empty())
    return fail(ErrorCode::invalid, fmt::format("the password file {} is empty", sources.file));
  return password;
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

void hide_password(int argc, char** argv) {
  const auto wipe = [](char* text) { std::memset(text, 'x', std::strlen(text)); };
  for (int i = 1; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (argument == "--password" || argument == "-r") {
      if (i + 1 < argc) wipe(argv[++i]);
    } else if (argument.starts_with("--password=")) {
      wipe(argv[i] + std::strlen("--password="));
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
  std::stringstream path(std::getenv("PATH") ? std::getenv("PATH") : "");
  for (std::string dir; std::getline(path, dir, ':');) {
    if (const fs::path candidate = fs::path(dir) / "python3"; ::access(candidate.c_str(), X_OK) == 0)
      return candidate.string();
  }
  return {};
}

unsigned usable_cores() {
  cpu_set_t cores;
  if (::sched_getaffinity(0, sizeof cores, &cores) != 0) return 1;
  return static_cast<unsigned>(CPU_COUNT(&cores));
}

}  // namespace dc::cli
