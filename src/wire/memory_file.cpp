// A memory file can be used again when no process has it any more. Nobody tells when that is (a user's array may keep
// it, or a process that has died), but the kernel knows: the receiver gets a description of the file of its own, which
// bears a lock. The lock ends with the last descriptor and the last mapping of that description, wherever they are.
#include "wire/memory_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cerrno>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <system_error>
#include <utility>
#include <vector>

#include "core/fd.hpp"
#include "core/limits.hpp"

namespace dc::wire {
namespace {

[[noreturn]] void fail_with_errno(const char* what) { throw std::system_error(errno, std::generic_category(), what); }

/// A private mapping of a whole file.
class Mapping {
 public:
  Mapping(const Fd& fd, std::size_t bytes)
      : bytes_(bytes), memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0)) {
    if (memory_ == MAP_FAILED) fail_with_errno("mapping a payload");
  }
  Mapping(Mapping&& other) noexcept : bytes_(other.bytes_), memory_(std::exchange(other.memory_, MAP_FAILED)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(memory_, other.memory_);
    return *this;
  }
  ~Mapping() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, bytes_);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(memory_), bytes_}; }

 private:
  std::size_t bytes_;
  void* memory_;
};

/// A file as its maker has it.
struct File {
  Fd fd;
  Mapping mapping;
};

File make_file(std::size_t bytes) {
  Fd fd(::memfd_create("dc-payload", MFD_CLOEXEC | MFD_ALLOW_SEALING));
  if (fd.get() < 0) fail_with_errno("making a memory file for a payload");
  if (::ftruncate(fd.get(), static_cast<off_t>(bytes)) != 0) fail_with_errno("sizing a memory file for a payload");
  ::fcntl(fd.get(), F_ADD_SEALS, F_SEAL_SHRINK | F_SEAL_GROW);
  Mapping mapping(fd, bytes);
  return {std::move(fd), std::move(mapping)};
}

/// The files of this process that its payloads have done with; receivers may still have them.
class UsedFiles {
 public:
  void add(File file) noexcept {
    const std::lock_guard lock(mutex_);
    bytes_ += file.mapping.bytes().size();
    files_.push_back(std::move(file));
    while (bytes_ > limits::used_files_bytes_max) remove(files_.begin());
  }
  /// One of exactly this size, which its seals keep, that nobody has.
  std::optional<File> take(std::size_t bytes) {
    const std::lock_guard lock(mutex_);
    for (auto it = files_.begin(); it != files_.end(); ++it) {
      if (it->mapping.bytes().size() != bytes || ::flock(it->fd.get(), LOCK_EX | LOCK_NB) != 0) continue;
      ::flock(it->fd.get(), LOCK_UN);
      return remove(it);
    }
    return std::nullopt;
  }

 private:
  File remove(std::vector<File>::iterator file) {
    File removed = std::move(*file);
    bytes_ -= removed.mapping.bytes().size();
    files_.erase(file);
    return removed;
  }

  std::mutex mutex_;
  std::vector<File> files_;  // the oldest first
  std::size_t bytes_ = 0;
};

UsedFiles& used_files() {
  static auto* const files = new UsedFiles;  // never destroyed: payloads may outlive it
  return *files;
}

/// A file in the hands of a payload, and the description of it that receivers get.
struct Lent {
  Lent(File file, Fd fd) : file(std::move(file)), fd(std::move(fd)) {}
  Lent(const Lent&) = delete;
  Lent& operator=(const Lent&) = delete;
  ~Lent() { used_files().add(std::move(file)); }
  File file;
  Fd fd;
};

Payload payload_of(File file) {
  const auto owner = std::make_shared<File>(std::move(file));
  return Payload::in_memory_file(owner, owner->mapping.bytes(), owner->fd.get());
}

Payload lend(File file) {
  Fd fd(::open(("/proc/self/fd/" + std::to_string(file.fd.get())).c_str(), O_RDWR | O_CLOEXEC));
  if (fd.get() < 0 || ::flock(fd.get(), LOCK_SH) != 0) return payload_of(std::move(file));
  const auto owner = std::make_shared<Lent>(std::move(file), std::move(fd));
  return Payload::in_memory_file(owner, owner->file.mapping.bytes(), owner->fd.get());
}

}  // namespace

Payload make_memory_file(std::size_t bytes) {
  if (bytes < limits::used_file_bytes_min || bytes > limits::used_files_bytes_max) return payload_of(make_file(bytes));
  std::optional<File> used = used_files().take(bytes);
  return lend(used ? std::move(*used) : make_file(bytes));
}

Payload memory_file_of(std::span<const std::byte> bytes) {
  Payload file = make_memory_file(bytes.size());
  write_memory_file(file, 0, bytes);
  return file;
}

void write_memory_file(const Payload& file, std::size_t offset, std::span<const std::byte> bytes) {
  while (!bytes.empty()) {
    const ssize_t written = ::pwrite(file.memory_file(), bytes.data(), bytes.size(), static_cast<off_t>(offset));
    if (written < 0 && errno == EINTR) continue;
    if (written < 0) fail_with_errno("writing a payload into its memory file");
    offset += static_cast<std::size_t>(written);
    bytes = bytes.subspan(static_cast<std::size_t>(written));
  }
}

Payload map_memory_file(int received) {
  Fd fd(received);
  struct stat status {};
  if (::fstat(fd.get(), &status) != 0 || status.st_size <= 0) {
    throw std::runtime_error("a payload's memory file has no size");
  }
  Mapping mapping(fd, static_cast<std::size_t>(status.st_size));
  return payload_of({std::move(fd), std::move(mapping)});
}

}  // namespace dc::wire
