// See program_cache.hpp.
#include "node/program_cache.hpp"

#include <elf.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <utility>
#include <vector>

#include "core/paths.hpp"
#include "net/session.hpp"

namespace dc::node {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t programs_max = 16;

std::string machine_name(unsigned machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "32-bit x86";
    case EM_ARM:
      return "32-bit ARM";
    case EM_RISCV:
      return "RISC-V";
    case EM_PPC64:
      return "POWER";
    default:
      return fmt::format("machine type {}", machine);
  }
}

#if defined(__x86_64__)
constexpr unsigned own_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned own_machine = EM_AARCH64;
#elif defined(__riscv)
constexpr unsigned own_machine = EM_RISCV;
#elif defined(__powerpc64__)
constexpr unsigned own_machine = EM_PPC64;
#else
constexpr unsigned own_machine = EM_NONE;
#endif

/// Lower-case SHA-256: as a file name it can name nothing outside the directory.
bool is_hash(const std::string& text) {
  return text.size() == 64 && text.find_first_not_of("0123456789abcdef") == std::string::npos;
}

std::string write_file(const std::string& path, const Payload& program) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC | O_NOFOLLOW, 0600);
  if (fd < 0) return std::strerror(errno);
  std::string problem;
  for (std::size_t done = 0; done < program.size() && problem.empty();) {
    const ssize_t written = ::write(fd, program.data() + done, program.size() - done);
    if (written < 0 && errno != EINTR) problem = std::strerror(errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  if (problem.empty() && ::fchmod(fd, 0500) != 0) problem = std::strerror(errno);
  // Before it has its name: after a power failure a name must not stand for less than the whole.
  if (problem.empty() && ::fsync(fd) != 0) problem = std::strerror(errno);
  if (::close(fd) != 0 && problem.empty()) problem = std::strerror(errno);
  return problem;
}

}  // namespace

std::string why_not_here(const Payload& program) {
  Elf64_Ehdr header{};  // e_machine stands at the same place in a 32-bit header
  if (program.size() < sizeof header) return "the program is no executable";
  std::memcpy(&header, program.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "the program is no ELF executable";
  if (own_machine == EM_NONE || header.e_machine == own_machine) return {};
  return fmt::format(
      "the program was built for {}, and this machine is {}: build it for this machine, or use nodes of the "
      "client's kind",
      machine_name(header.e_machine), machine_name(own_machine));
}

std::set<std::string> ProgramCache::list() const {
  std::set<std::string> hashes;
  std::error_code ignored;
  for (fs::directory_iterator entry(dir_, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::string name = entry->path().filename().string();
    if (is_hash(name)) hashes.insert(std::move(name));
  }
  return hashes;
}

bool ProgramCache::use(const std::string& hash) const {
  const std::string file = path(hash);
  struct stat now {};
  if (!is_hash(hash) || ::access(file.c_str(), X_OK) != 0 || ::stat(file.c_str(), &now) != 0) return false;
  {
    const std::lock_guard lock(mutex_);
    const auto sound = sound_.find(hash);
    if (sound == sound_.end() || sound->second != Mark{now.st_ino, now.st_size}) return false;
  }
  ::utimensat(AT_FDCWD, file.c_str(), nullptr, 0);
  return true;
}

void ProgramCache::remember(const std::string& hash) {
  struct stat now {};
  if (::stat(path(hash).c_str(), &now) != 0) return;
  const std::lock_guard lock(mutex_);
  sound_[hash] = {now.st_ino, now.st_size};
}

bool ProgramCache::check(const std::string& hash) {
  if (!is_hash(hash)) return false;
  const std::string file = path(hash);
  if (::access(file.c_str(), X_OK) == 0 && net::content_hash_of_file(file) == hash) {
    remember(hash);
    return true;
  }
  ::unlink(file.c_str());
  return false;
}

std::string ProgramCache::store(const std::string& hash, const Payload& program) {
  if (!is_hash(hash) || net::content_hash(program.bytes()) != hash) {
    return "the program arrived damaged (its content does not match its hash)";
  }
  if (std::string problem = why_not_here(program); !problem.empty()) return problem;
  if (std::string problem = paths::make_private_dir(dir_); !problem.empty()) return problem;
  if (const std::string problem = write(hash, program); !problem.empty()) {
    return fmt::format(
        "the program cannot be written to {} ({}): make room there, or set DISTRIBUTED_COMPUTING_HOME to a "
        "directory elsewhere",
        dir_, problem);
  }
  remember(hash);
  remove_oldest();
  return {};
}

/// Under another name first: what has the hash for a name is complete.
std::string ProgramCache::write(const std::string& hash, const Payload& program) const {
  const std::string temporary = fmt::format("{}.{}.new", path(hash), ::getpid());
  std::string problem = write_file(temporary, program);
  if (problem.empty() && ::rename(temporary.c_str(), path(hash).c_str()) != 0) problem = std::strerror(errno);
  if (!problem.empty()) ::unlink(temporary.c_str());
  if (const int dir = ::open(dir_.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC); dir >= 0) {
    ::fsync(dir);  // the name itself; without it the program would only be fetched again
    ::close(dir);
  }
  return problem;
}

void ProgramCache::remove_oldest() const {
  std::vector<std::pair<fs::file_time_type, fs::path>> files;  // times are read once: other nodes change them
  std::error_code ignored;
  for (fs::directory_iterator entry(dir_, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::error_code gone;
    const auto time = entry->last_write_time(gone);
    if (!gone) files.emplace_back(time, entry->path());
  }
  std::sort(files.rbegin(), files.rend());
  for (std::size_t i = programs_max; i < files.size(); ++i) fs::remove(files[i].second, ignored);
}

}  // namespace dc::node
