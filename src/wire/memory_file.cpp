// A memory file can be used again when no process has it any more. Nobody tells when that is (a user's array may keep
// it, or a process that has died), but the kernel knows: the receiver gets a description of the file of its own, which
// bears a lock. The lock ends with the last descriptor and the last mapping of that description, wherever they are.
#include "wire/memory_file.hpp"

#include <fcntl.h>
#include <sys/file.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <cstdlib>
#include <cstring>
#include <fstream>
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

std::atomic<std::size_t> mappings_alive{0}, files_alive{0};

/// Counts itself for as long as it lives.
class Counted {
 public:
  explicit Counted(std::atomic<std::size_t>& counter) : counter_(&counter) {
    counter_->fetch_add(1, std::memory_order_relaxed);
  }
  Counted(Counted&& other) noexcept : counter_(std::exchange(other.counter_, nullptr)) {}
  Counted& operator=(Counted&& other) noexcept {
    std::swap(counter_, other.counter_);
    return *this;
  }
  ~Counted() {
    if (counter_) counter_->fetch_sub(1, std::memory_order_relaxed);
  }

 private:
  std::atomic<std::size_t>* counter_;
};

bool mappings_are_plenty() {
  static const std::size_t allowed = [] {
    std::size_t all = 65530;  // the kernel's own choice
    std::ifstream("/proc/sys/vm/max_map_count") >> all;
    return all / limits::payload_share_of_mappings;
  }();
  return mappings_alive.load(std::memory_order_relaxed) < allowed;
}

bool descriptors_are_plenty() {
  rlimit limit{};
  if (::getrlimit(RLIMIT_NOFILE, &limit) != 0) return true;
  return files_alive.load(std::memory_order_relaxed) < limit.rlim_cur / limits::payload_share_of_descriptors;
}

/// A private mapping of a whole file.
class Mapping {
 public:
  Mapping(const Fd& fd, std::size_t bytes)
      : bytes_(bytes), memory_(::mmap(nullptr, bytes, PROT_READ | PROT_WRITE, MAP_PRIVATE, fd.get(), 0)) {
    if (memory_ == MAP_FAILED) fail_with_errno("mapping a payload");
  }
  Mapping(Mapping&& other) noexcept
      : bytes_(other.bytes_), memory_(std::exchange(other.memory_, MAP_FAILED)), counted_(std::move(other.counted_)) {}
  Mapping& operator=(Mapping&& other) noexcept {
    std::swap(bytes_, other.bytes_);
    std::swap(memory_, other.memory_);
    std::swap(counted_, other.counted_);
    return *this;
  }
  ~Mapping() {
    if (memory_ != MAP_FAILED) ::munmap(memory_, bytes_);
  }
  [[nodiscard]] std::span<const std::byte> bytes() const { return {static_cast<const std::byte*>(memory_), bytes_}; }

 private:
  std::size_t bytes_;
  void* memory_;
  Counted counted_{mappings_alive};
};

/// A file as its maker has it.
struct File {
  Fd fd;
  Mapping mapping;
  Counted counted{files_alive};
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
  const auto bytes = static_cast<std::size_t>(status.st_size);
  if (mappings_are_plenty()) {
    try {
      // The descriptor goes, the mapping stays, and with it the lock that says so.
      const auto owner = std::make_shared<Mapping>(fd, bytes);
      return Payload(owner, owner->bytes());
    } catch (const std::system_error& error) {
      if (error.code().value() != ENOMEM) throw;  // the user's own mappings have used them up
    }
  }
  const Assembly copy = heap_assembly(bytes);
  for (std::size_t done = 0; done < bytes;) {
    const ssize_t size = ::pread(fd.get(), copy.memory.data() + done, bytes - done, static_cast<off_t>(done));
    if (size < 0 && errno == EINTR) continue;
    if (size <= 0) fail_with_errno("reading a payload from its memory file");
    done += static_cast<std::size_t>(size);
  }
  return copy.payload;
}

Assembly heap_assembly(std::size_t bytes) {
  constexpr std::size_t alignment = 64;  // of the parts in a payload of Python's
  void* memory = std::aligned_alloc(alignment, (bytes + alignment - 1) / alignment * alignment);
  if (!memory) throw std::bad_alloc();
  std::shared_ptr<void> owner(memory, std::free);
  const std::span<std::byte> span(static_cast<std::byte*>(memory), bytes);
  return {span, Payload(std::move(owner), span)};
}

Assembly make_assembly(std::size_t bytes) {
  if (!descriptors_are_plenty() || !mappings_are_plenty()) return heap_assembly(bytes);
  try {
    return {{}, make_memory_file(bytes)};
  } catch (const std::system_error&) {  // others have used them up, of this process or of the system
    return heap_assembly(bytes);
  }
}

void write(const Assembly& target, std::size_t offset, std::span<const std::byte> bytes) {
  if (target.payload.memory_file() >= 0) return write_memory_file(target.payload, offset, bytes);
  if (!bytes.empty()) std::memcpy(target.memory.data() + offset, bytes.data(), bytes.size());
}

}  // namespace dc::wire
