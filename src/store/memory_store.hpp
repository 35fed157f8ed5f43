// A store that forgets, for tests and for trying things out.
#pragma once

#include <map>
#include <memory>
#include <mutex>
#include <vector>

#include "store/store.hpp"

namespace dc::store {

/// What MemoryStores share; it plays the disk.
struct MemoryDisk {
  std::mutex mutex;
  std::map<LogId, std::map<EntryNumber, Entry>> logs;
  std::uint64_t term = 0;
  std::uint64_t holder = 0;  ///< its term; 0: nobody
  Owner owner;
  std::size_t bytes_max = SIZE_MAX;  ///< of all entries and attachments; more is `full`
};

class MemoryStore : public Store {
 public:
  explicit MemoryStore(std::shared_ptr<MemoryDisk> disk = std::make_shared<MemoryDisk>()) : disk_(std::move(disk)) {}
  ~MemoryStore() override { MemoryStore::release(); }

  [[nodiscard]] std::string description() const override { return "memory (forgotten when the head ends)"; }
  Result<std::uint64_t> acquire(const Owner& owner) override;
  Result<void> check_hold() override;
  void release() override;
  Result<std::vector<LogId>> logs() override;
  std::map<LogId, std::uint64_t> sizes() override;
  Result<void> write(std::span<Change> changes) override;
  Result<bool> read(LogId log, Position& position, Attachments attachments,
                    const std::function<void(EntryNumber, Entry&&)>& each) override;
  Result<void> replace(LogId log, std::span<const Entry> entries) override;
  Result<void> remove(LogId log) override;

 private:
  Result<void> check_held() const;
  [[nodiscard]] Result<void> check_room(std::span<const Change> changes) const;

  std::shared_ptr<MemoryDisk> disk_;
  std::uint64_t term_ = 0;
};

}  // namespace dc::store
