// For the tests of stores: a hash, entries, and reading a whole store.
#pragma once

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <map>
#include <string>
#include <vector>

#include "store/checksum.hpp"
#include "store/store.hpp"

namespace dc::store {

/// Stands in for SHA-256, which this layer does not have.
inline std::string test_hash(std::span<const std::byte> bytes) {
  const std::string_view text(reinterpret_cast<const char*>(bytes.data()), bytes.size());
  return fmt::format("{:016x}{:048x}", checksum(text), text.size());
}

/// A directory that goes with its owner.
class TemporaryDir {
 public:
  TemporaryDir() {
    std::string pattern = std::filesystem::temp_directory_path() / "dc-store-XXXXXX";
    path_ = mkdtemp(pattern.data());
  }
  ~TemporaryDir() {
    std::error_code ignored;
    std::filesystem::remove_all(path_, ignored);
  }
  TemporaryDir(const TemporaryDir&) = delete;
  TemporaryDir& operator=(const TemporaryDir&) = delete;
  [[nodiscard]] const std::string& path() const { return path_; }
  [[nodiscard]] std::string file(const std::string& name) const { return path_ + "/" + name; }

 private:
  std::string path_;
};

// With a process id that runs: the lease of a dead head does not count.
inline const Owner first_owner{"north", static_cast<std::uint32_t>(::getpid())};
inline const Owner second_owner{"south", static_cast<std::uint32_t>(::getpid())};

inline Payload text(std::string content) { return Payload(std::move(content)); }

/// An entry with these attachments.
inline Entry entry(std::string bytes, std::vector<std::string> attachments = {}) {
  Entry made{std::move(bytes), {}};
  for (std::string& content : attachments) made.attachments.push_back(text(std::move(content)));
  return made;
}

/// "" when it went well, else the sentence.
template <class T>
std::string problem(const Result<T>& result) {
  return result ? "" : result.error().message;
}

template <class T>
ErrorCode code_of(const Result<T>& result) {
  EXPECT_FALSE(result);
  return result ? ErrorCode{} : result.error().code;
}

inline std::vector<Entry> read_log(Store& store, LogId log) {
  std::vector<Entry> entries;
  const Result<void> read = store.replay(log, [&](EntryNumber, Entry&& entry) { entries.push_back(std::move(entry)); });
  EXPECT_EQ(problem(read), "");
  return entries;
}

/// With their numbers.
inline std::map<EntryNumber, Entry> read_numbered(Store& store, LogId log) {
  std::map<EntryNumber, Entry> entries;
  EntryNumber last = 0;
  const Result<void> read = store.replay(log, [&](EntryNumber number, Entry&& entry) {
    EXPECT_GT(number, last);
    last = number;
    entries.emplace(number, std::move(entry));
  });
  EXPECT_EQ(problem(read), "");
  return entries;
}

using Logs = std::map<LogId, std::vector<Entry>>;

/// All that is in the store.
inline Logs read_all(Store& store) {
  Logs all;
  const Result<std::vector<LogId>> logs = store.logs();
  EXPECT_EQ(problem(logs), "");
  if (!logs) return all;
  for (const LogId log : logs.value()) all[log] = read_log(store, log);
  return all;
}

inline Result<void> write(Store& store, std::vector<Change> changes) { return store.write(changes); }

inline Change put(LogId log, EntryNumber number, Entry entry) { return {log, number, std::move(entry)}; }
inline Change erase(LogId log, EntryNumber number) { return {log, number, std::nullopt}; }

struct Addressed {
  LogId log{};
  Entry entry;
};

/// Puts them behind all that was put like this before: with gaps, where there are several logs.
inline Result<void> append(Store& store, const std::vector<Addressed>& batch) {
  static EntryNumber last = 0;
  std::vector<Change> changes;
  for (const Addressed& one : batch) changes.push_back(put(one.log, ++last, one.entry));
  return store.write(changes);
}

/// Until nothing is left to be deleted.
inline void tidy(Store& store) {
  for (Result<bool> more = true; more && more.value();) {
    more = store.tidy();
    ASSERT_EQ(problem(more), "");
  }
}

inline Result<void> replace(Store& store, LogId log, std::vector<Entry> entries) { return store.replace(log, entries); }

inline void PrintTo(const Entry& entry, std::ostream* out) {
  *out << '"' << entry.bytes.substr(0, 60) << '"';
  for (const Payload& attachment : entry.attachments) *out << " +" << attachment.view().substr(0, 60);
}

}  // namespace dc::store
