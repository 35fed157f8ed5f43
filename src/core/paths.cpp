// Directories and files of this user; see paths.hpp.
#include "core/paths.hpp"

#include <fmt/format.h>
#include <pwd.h>
#include <sys/stat.h>
#include <unistd.h>

#include <array>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <sstream>
#include <system_error>

namespace dc::paths {
namespace {

namespace fs = std::filesystem;

constexpr const char* folder = "distributed-computing";

/// The variable's value when it is set and not empty.
std::string environment(const char* name) {
  const char* value = std::getenv(name);
  return value ? value : "";
}

/// XDG says that a relative path in its variables is to be ignored.
std::string xdg_base(const char* name) {
  std::string base = environment(name);
  return fs::path(base).is_absolute() ? base : "";
}

std::string home() {
  if (std::string from_environment = environment("HOME"); !from_environment.empty()) return from_environment;
  const passwd* entry = getpwuid(geteuid());
  return entry && entry->pw_dir ? entry->pw_dir : "/";
}

/// Where everything lives when the user moved it with one variable, else an empty path.
fs::path moved_home() {
  const std::string moved = environment("DISTRIBUTED_COMPUTING_HOME");
  if (moved.empty()) return {};
  std::error_code ignored;
  const fs::path absolute = fs::absolute(moved, ignored);
  return absolute.empty() ? fs::path(moved) : absolute;
}

std::string in_home(const char* leaf, const char* variable, const char* below_home) {
  if (const fs::path moved = moved_home(); !moved.empty()) return moved / leaf;
  if (const std::string base = xdg_base(variable); !base.empty()) return fs::path(base) / folder;
  return fs::path(home()) / below_home / folder;
}

/// Whether it is one of those below, or lies in one.
bool is_own(const fs::path& dir) {
  for (const std::string& own : {run_dir(), state_dir(), cache_dir()}) {
    const fs::path below = dir.lexically_normal().lexically_relative(fs::path(own).lexically_normal());
    if (!below.empty() && *below.begin() != "..") return true;
  }
  return false;
}

std::string cannot_make(const std::string& dir, int error) {
  return fmt::format("cannot make the directory {} ({}): set DISTRIBUTED_COMPUTING_HOME to a directory of yours", dir,
                     std::strerror(error));
}

/// Whether this user can have a directory of its own there: it is one of ours, or below one.
bool is_ours(const std::string& dir) {
  struct stat status {};
  return lstat(dir.c_str(), &status) == 0 && S_ISDIR(status.st_mode) && status.st_uid == geteuid() &&
         access(dir.c_str(), W_OK | X_OK) == 0;
}

bool is_absent(const std::string& path) {
  struct stat status {};
  return lstat(path.c_str(), &status) != 0 && errno == ENOENT;
}

/// What is wrong with an existing directory, or an empty string. Whoever else may write in it could replace our
/// sockets and keys.
std::string check_private(const std::string& dir) {
  struct stat link {};
  struct stat target {};
  if (lstat(dir.c_str(), &link) != 0 || stat(dir.c_str(), &target) != 0) return cannot_make(dir, errno);
  if (!S_ISDIR(target.st_mode)) return fmt::format("{} is in the way: it is not a directory", dir);
  if (link.st_uid != geteuid() || target.st_uid != geteuid()) {
    return fmt::format(
        "the directory {} belongs to someone else: set DISTRIBUTED_COMPUTING_HOME to a directory of yours", dir);
  }
  if (target.st_mode & (S_IWGRP | S_IWOTH)) {
    return fmt::format("others may write in the directory {}: run 'chmod 700 {}'", dir, dir);
  }
  // Sockets and locks are for nobody else's eyes: what was made by hand, or with a wider umask, becomes as we make it.
  // A directory that the user named for something else is left as it is.
  if ((target.st_mode & 077) != 0 && is_own(dir) && chmod(dir.c_str(), 0700) != 0) return cannot_make(dir, errno);
  if (access(dir.c_str(), W_OK | X_OK) != 0) {
    return fmt::format("the directory {} is not writable ({})", dir, std::strerror(errno));
  }
  return "";
}

}  // namespace

std::string run_dir() {
  if (const fs::path moved = moved_home(); !moved.empty()) return moved / "run";
  // A batch job has the variable of the machine where it was submitted, a shell after sudo that of somebody else.
  if (const std::string base = xdg_base("XDG_RUNTIME_DIR"); is_ours(base)) return fs::path(base) / folder;
  const std::string common = fmt::format("/tmp/{}-{}", folder, geteuid());
  if (is_absent(common) || is_ours(common)) return common;
  return fmt::format("{}/run-{}", state_dir(), machine_key());  // somebody else has taken that name
}

std::string machine_key() {
  std::string key;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> key;
  std::erase(key, '-');
  if (key.empty()) {  // no such file in this container
    std::array<char, 256> host{};
    gethostname(host.data(), host.size() - 1);
    key = host.data();
  }
  struct stat space {};
  if (stat("/proc/self/ns/pid", &space) == 0) key += fmt::format("-{}", space.st_ino);
  return key;
}

std::string state_dir() { return in_home("state", "XDG_STATE_HOME", ".local/state"); }

std::string cache_dir() { return in_home("cache", "XDG_CACHE_HOME", ".cache"); }

std::string make_private_dir(const std::string& dir) {
  std::string made;
  for (const fs::path& part : fs::path(dir)) {
    if (!part.empty()) made = fs::path(made) / part;
    if (mkdir(made.c_str(), 0700) == 0 || errno == EEXIST) continue;
    const int error = errno;
    struct stat existing {};
    // On a read-only file system, or below a directory that we may not write, the error need not be EEXIST.
    if (stat(made.c_str(), &existing) != 0) return cannot_make(made, error);
  }
  return check_private(dir);
}

std::string on_path(const std::string& program) {
  std::stringstream folders(environment("PATH"));
  for (std::string folder; std::getline(folders, folder, ':');) {
    const fs::path file = fs::path(folder) / program;
    if (!file.is_absolute()) continue;  // an empty entry means the working directory, which may be anybody's
    if (::access(file.c_str(), X_OK) == 0) return file;
  }
  return {};
}

std::string head_socket(std::uint16_t port) { return fmt::format("{}/head-{}.sock", run_dir(), port); }

std::string head_file(std::uint16_t port) { return fmt::format("{}/head-{}.json", run_dir(), port); }

std::string head_key() { return state_dir() + "/head-key.pem"; }

std::string head_store(std::uint16_t port) { return fmt::format("{}/head-{}.db", state_dir(), port); }

std::string redis_dir(std::uint16_t port) { return fmt::format("{}/redis-{}", state_dir(), port); }

std::string head_redis_dir(std::uint16_t port) { return fmt::format("{}/head-{}-redis", state_dir(), port); }

std::string head_password(std::uint16_t port) { return fmt::format("{}/head-{}.password", state_dir(), port); }

std::string known_heads() { return state_dir() + "/known_heads"; }

std::string node_file(const std::string& name) {
  return fmt::format("{}/node{}{}.json", run_dir(), name.empty() ? "" : "-", name);
}

std::string node_lock(const std::string& name) {
  return fmt::format("{}/nodes/{}-node{}{}.json", state_dir(), machine_key(), name.empty() ? "" : "-", name);
}

}  // namespace dc::paths
