// See secrets.hpp.
#include "cli/secrets.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <termios.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <cmath>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <iostream>
#include <sstream>
#include <string_view>

#include "cli/options.hpp"
#include "core/fd.hpp"
#include "core/paths.hpp"
#include "net/session.hpp"

namespace dc::cli {
namespace {

namespace fs = std::filesystem;

/// Bits of a password drawn at random from its kinds of characters; people's own have fewer.
constexpr double strong_bits = 60;
/// Somewhat longer than any secret, so that the wrong file is not read to its end.
constexpr std::size_t secret_bytes_max = std::size_t{1} << 20;

std::string take_variable(const char* name) {
  char* value = std::getenv(name);
  if (!value) return {};
  std::string text = value;
  ::explicit_bzero(value, text.size());
  ::unsetenv(name);
  return text;
}

void drop_line_ends(std::string& text) {
  while (!text.empty() && (text.back() == '\n' || text.back() == '\r')) text.pop_back();
}

std::string credentials_directory() {
  const char* directory = std::getenv("CREDENTIALS_DIRECTORY");
  return directory ? directory : "";
}

bool is_credential(const std::string& path) {
  const std::string directory = credentials_directory();
  if (directory.empty()) return false;
  std::error_code ignored;
  const fs::path inside =
      fs::weakly_canonical(path, ignored).lexically_relative(fs::weakly_canonical(directory, ignored));
  return !inside.empty() && *inside.begin() != "..";
}

/// Who else may read the file, and what to do; empty when nobody may.
std::string too_open(const struct stat& file, const std::string& path) {
  if (!S_ISREG(file.st_mode) || (file.st_mode & 077) == 0) return {};
  const bool given_to_a_group = (file.st_mode & 077) == 040 && (file.st_uid == 0 || is_credential(path));
  if (given_to_a_group) return {};
  return fmt::format("can be read by others: chmod 600 {}{}", shell_word(path),
                     file.st_uid == 0 && ::geteuid() != 0 ? " (a group may read a file of root's: mode 440)" : "");
}

/// The secret of this name that the service manager gives; empty when it gives none.
Result<std::string> read_credential(const char* name, const char* what) {
  const std::string directory = credentials_directory();
  std::error_code ignored;
  if (directory.empty() || !fs::exists(fs::path(directory) / name, ignored)) return std::string();
  return read_secret_file(fs::path(directory) / name, what);
}

/// Byte by byte: what follows the line is for others.
Result<std::string> read_line_of_stdin() {
  if (::isatty(STDIN_FILENO) != 0) return ask_password();
  std::string line;
  char byte = 0;
  ssize_t size = 0;
  while (line.size() < secret_bytes_max &&
         ((size = ::read(STDIN_FILENO, &byte, 1)) == 1 || (size < 0 && errno == EINTR))) {
    if (size == 1 && byte == '\n') break;
    if (size == 1) line.push_back(byte);
  }
  drop_line_ends(line);
  if (line.empty()) return fail(ErrorCode::invalid, "--password-stdin: the first line of standard input is empty");
  return line;
}

/// False when there is a file already; the reason when it cannot be made. The file appears whole.
Result<bool> keep_new(const std::string& path, const std::string& text) {
  const auto problem = [&] {
    return fail(ErrorCode::io, fmt::format("the password cannot be kept in {} ({})", path, std::strerror(errno)));
  };
  if (std::string wrong = paths::make_private_dir(fs::path(path).parent_path()); !wrong.empty())
    return fail(ErrorCode::io, std::move(wrong));
  const std::string fresh = fmt::format("{}.{}", path, ::getpid());
  ::unlink(fresh.c_str());
  Fd file(::open(fresh.c_str(), O_WRONLY | O_CREAT | O_EXCL | O_CLOEXEC, 0600));
  if (file.get() < 0) return problem();
  const bool written =
      ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(file.get()) == 0;
  const bool linked = written && ::link(fresh.c_str(), path.c_str()) == 0;
  const int error = errno;
  ::unlink(fresh.c_str());
  errno = error;
  if (!linked && (!written || error != EEXIST)) return problem();
  return linked;
}

}  // namespace

Result<std::string> read_secret_file(const std::string& path, const char* what) {
  const auto problem = [&](const std::string& wrong) {
    return fail(ErrorCode::invalid, fmt::format("the {} {} {}", what, path, wrong));
  };
  const Fd file(::open(path.c_str(), O_RDONLY | O_CLOEXEC));
  if (file.get() < 0) return problem(fmt::format("cannot be read ({})", std::strerror(errno)));
  struct stat status {};
  ::fstat(file.get(), &status);
  if (const std::string wrong = too_open(status, path); !wrong.empty()) return problem(wrong);
  std::string secret;
  std::array<char, 4096> buffer{};
  ssize_t size = 0;
  while (secret.size() < secret_bytes_max && (size = ::read(file.get(), buffer.data(), buffer.size())) > 0)
    secret.append(buffer.data(), static_cast<std::size_t>(size));
  if (size < 0) return problem(fmt::format("cannot be read ({})", std::strerror(errno)));
  drop_line_ends(secret);
  if (secret.empty()) return problem("is empty");
  return secret;
}

Result<Password> read_password(PasswordSources& sources) {
  using From = Password::From;
  std::string from_environment = take_variable(password_variable);
  if (sources.argument) {
    if (sources.argument->empty()) return fail(ErrorCode::invalid, "the password is empty: give one, or leave -r out");
    Password given{*sources.argument, From::argument, {}};
    wipe(*sources.argument);
    return given;
  }
  if (sources.standard_input) {
    BOOST_OUTCOME_TRY(line, read_line_of_stdin());
    return Password{std::move(line), From::elsewhere, {}};
  }
  if (sources.file) {
    if (sources.file->empty())
      return fail(ErrorCode::invalid, "--password-file names no file: name one, or leave it out");
    BOOST_OUTCOME_TRY(held, read_secret_file(*sources.file, "password file"));
    return Password{std::move(held), From::file, *sources.file};
  }
  if (!from_environment.empty()) return Password{std::move(from_environment), From::elsewhere, {}};
  BOOST_OUTCOME_TRY(given, read_credential(password_credential, "credential"));
  return Password{given, given.empty() ? From::nowhere : From::elsewhere, {}};
}

Result<std::string> read_store(std::string option) {
  std::string from_environment = take_variable(store_variable);
  if (!option.empty()) return option;
  if (!from_environment.empty()) return from_environment;
  return read_credential(store_credential, "credential");
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

Result<Password> made_password(const std::string& file, bool shown) {
  std::error_code ignored;
  if (!fs::exists(file, ignored)) {
    Password fresh{fmt::format("{:016x}{:016x}", net::random_id(), net::random_id()), Password::From::made, {}};
    if (shown) return fresh;
    BOOST_OUTCOME_TRY(kept, keep_new(file, fresh.text + "\n"));
    fresh.file = file;
    if (kept) return fresh;
  }
  BOOST_OUTCOME_TRY(kept, read_secret_file(file, "password file"));
  return Password{std::move(kept), Password::From::made, file};
}

std::string password_option(const Password& password, bool on_terminal) {
  using From = Password::From;
  const bool shown = password.from == From::argument || (password.from == From::made && on_terminal);
  if (shown) return (password.text.starts_with('-') ? "--password=" : "-r ") + shell_word(password.text) + " ";
  return password.file.empty() ? "" : "--password-file " + shell_word(password.file) + " ";
}

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

std::string without_values(const std::string& complaint) {
  std::istringstream lines(complaint);
  std::string shown;
  for (std::string line; std::getline(lines, line);) {
    // "Could not convert: --port = assword=123", "The following arguments were not expected: --pasword=123 123"
    constexpr std::string_view expected = "not expected:";
    const std::size_t list = line.find(expected), value = line.find('=');
    if (list != line.npos) {
      std::istringstream words(line.substr(list + expected.size()));
      line.erase(list + expected.size());
      for (std::string word; words >> word;)
        line += word.starts_with('-') ? " " + word.substr(0, word.find('=')) : " …";
    } else if (value != line.npos) {
      line.erase(value);
      line += "…";
    }
    shown += line + "\n";
  }
  return shown;
}

void hide_secrets(int argc, char** argv) {
  constexpr std::array<std::string_view, 3> options{"--password", "-r", "--store"};
  std::string title;
  bool hidden = false, contiguous = argc > 0;
  for (int i = 0; i < argc; ++i) {
    const std::string_view argument(argv[i]);
    if (i > 0) contiguous = contiguous && argv[i] == argv[i - 1] + std::strlen(argv[i - 1]) + 1;
    const bool apart = i > 0 && std::find(options.begin(), options.end(), argument) != options.end();
    const bool together = i > 0 && (argument.starts_with("--password=") || argument.starts_with("--store=") ||
                                    (argument.starts_with("-r") && argument.size() > 2));
    if (apart && i + 1 < argc) {
      ++i;
      contiguous = contiguous && argv[i] == argv[i - 1] + std::strlen(argv[i - 1]) + 1;
    }
    hidden = hidden || apart || together;
    if (!apart && !together) title += (title.empty() ? "" : " ") + std::string(argument);
  }
  if (!hidden || !contiguous) return;
  const std::size_t size = static_cast<std::size_t>(argv[argc - 1] - argv[0]) + std::strlen(argv[argc - 1]) + 1;
  ::explicit_bzero(argv[0], size);
  title.copy(argv[0], size - 2);
  // The kernel takes a last byte that is not zero for the sign of a new title, which ends at its first zero: else the
  // zeros behind would show how much was taken out.
  argv[0][size - 1] = '.';
  for (int i = 1; i < argc; ++i) argv[i] = argv[0] + std::min(title.size(), size - 2);
}

}  // namespace dc::cli
