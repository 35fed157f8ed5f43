// See new_file.hpp.
#include "cli/new_file.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <filesystem>
#include <utility>

#include "core/fd.hpp"

namespace dc::cli {
namespace {

Error cannot_make(const std::string& path) {
  return fail(ErrorCode::io, fmt::format("{} cannot be made ({})", path, std::strerror(errno)));
}

Result<void> check_place(const std::string& path) {
  struct stat there {};
  if (::lstat(path.c_str(), &there) != 0) return boost::outcome_v2::success();
  return fail(ErrorCode::invalid, fmt::format("{} is there already: remove it, or name a new file", path));
}

}  // namespace

Result<NewFile> NewFile::make_for(const std::string& path) {
  BOOST_OUTCOME_TRYV(check_place(path));
  std::string fresh = path + ".XXXXXX";
  const Fd file(::mkostemp(fresh.data(), O_CLOEXEC));
  if (file.get() < 0) return cannot_make(path);
  return NewFile(path, std::move(fresh));
}

NewFile::NewFile(NewFile&& other) noexcept
    : path_(std::move(other.path_)), fresh_(std::exchange(other.fresh_, std::string())) {}

NewFile::~NewFile() {
  if (fresh_.empty()) return;
  for (const char* ending : {"", "-wal", "-shm", "-journal"}) ::unlink((fresh_ + ending).c_str());
}

Result<void> NewFile::write(std::string_view text) {
  const Fd file(::open(fresh_.c_str(), O_WRONLY | O_TRUNC | O_CLOEXEC));
  const bool written = file.get() >= 0 &&
                       ::write(file.get(), text.data(), text.size()) == static_cast<ssize_t>(text.size()) &&
                       ::fsync(file.get()) == 0;
  if (!written) return cannot_make(path_);
  return boost::outcome_v2::success();
}

Result<void> NewFile::put() {
  BOOST_OUTCOME_TRYV(check_place(path_));
  if (::rename(fresh_.c_str(), path_.c_str()) != 0) return cannot_make(path_);
  fresh_.clear();
  const std::string directory = std::filesystem::path(path_).parent_path().string();
  const Fd folder(::open(directory.empty() ? "." : directory.c_str(), O_RDONLY | O_DIRECTORY | O_CLOEXEC));
  if (folder.get() >= 0) ::fsync(folder.get());
  return boost::outcome_v2::success();
}

}  // namespace dc::cli
