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
#include <vector>

#include "core/paths.hpp"
#include "net/session.hpp"

namespace dc::node {
namespace {

namespace fs = std::filesystem;
constexpr std::size_t programs_max = 16;

const char* machine_name(unsigned machine) {
  switch (machine) {
    case EM_X86_64:
      return "x86-64";
    case EM_AARCH64:
      return "aarch64";
    case EM_386:
      return "i386";
    case EM_RISCV:
      return "riscv";
    default:
      return "an unknown architecture";
  }
}

#if defined(__x86_64__)
constexpr unsigned own_machine = EM_X86_64;
#elif defined(__aarch64__)
constexpr unsigned own_machine = EM_AARCH64;
#else
constexpr unsigned own_machine = EM_NONE;
#endif

std::string check_runs_here(const Payload& program) {
  Elf64_Ehdr header{};
  if (program.size() < sizeof header) return "the program is no executable";
  std::memcpy(&header, program.data(), sizeof header);
  if (std::memcmp(header.e_ident, ELFMAG, SELFMAG) != 0) return "the program is no ELF executable";
  if (own_machine != EM_NONE && header.e_machine != own_machine) {
    return fmt::format("the program was built for {}, this machine is {}: build it for this machine too",
                       machine_name(header.e_machine), machine_name(own_machine));
  }
  return {};
}

std::string write_file(const std::string& path, const Payload& program) {
  const int fd = ::open(path.c_str(), O_WRONLY | O_CREAT | O_TRUNC | O_CLOEXEC, 0700);
  if (fd < 0) return std::strerror(errno);
  std::string problem;
  for (std::size_t done = 0; done < program.size() && problem.empty();) {
    const ssize_t written = ::write(fd, program.data() + done, program.size() - done);
    if (written < 0 && errno != EINTR) problem = std::strerror(errno);
    if (written > 0) done += static_cast<std::size_t>(written);
  }
  if (::close(fd) != 0 && problem.empty()) problem = std::strerror(errno);
  return problem;
}

}  // namespace

std::set<std::string> ProgramCache::list() const {
  std::set<std::string> hashes;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(dir_, ignored)) {
    const std::string name = entry.path().filename().string();
    if (name.size() == 64) hashes.insert(name);
  }
  return hashes;
}

std::string ProgramCache::store(const std::string& hash, const Payload& program) const {
  if (net::content_hash(program.bytes()) != hash) return "the program arrived damaged (its hash is wrong)";
  if (std::string problem = check_runs_here(program); !problem.empty()) return problem;
  if (std::string problem = paths::make_private_dir(dir_); !problem.empty()) return problem;
  const std::string temporary = fmt::format("{}.{}.new", path(hash), ::getpid());
  if (const std::string problem = write_file(temporary, program); !problem.empty()) {
    ::unlink(temporary.c_str());
    return fmt::format(
        "the program cannot be written to {} ({}): free some space there, or set "
        "DISTRIBUTED_COMPUTING_HOME to another directory",
        dir_, problem);
  }
  if (::rename(temporary.c_str(), path(hash).c_str()) != 0) return fmt::format("cannot rename {}", temporary);
  std::vector<fs::directory_entry> all;
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(dir_, ignored)) all.push_back(entry);
  std::sort(all.begin(), all.end(), [](const auto& a, const auto& b) {
    std::error_code none;
    return a.last_write_time(none) > b.last_write_time(none);
  });
  for (std::size_t i = programs_max; i < all.size(); ++i) fs::remove(all[i].path(), ignored);
  return {};
}

}  // namespace dc::node
