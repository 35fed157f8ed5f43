// See earlier_logs.hpp. An append-only file of Redis is a row of commands, written as they came.
#include "store/earlier_logs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <iterator>
#include <map>
#include <memory>
#include <set>

#include "core/limits.hpp"
#include "store/redis_record.hpp"
#include "store/sqlite_db.hpp"

namespace dc::store {
namespace {

namespace fs = std::filesystem;

/// How a snapshot of Redis begins.
constexpr std::string_view snapshot = "REDIS";

/// Follows the commands of one append-only file as far as they concern logs: hashes, or streams as before format 3.
class Follower {
 public:
  explicit Follower(std::string_view prefix) : keys_(fmt::format("{{{}}}:", prefix)) {}

  void follow(const RedisReply& command) {
    if (command.size() < 2) return;
    std::string name(command[0].text());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    const std::string key(command[1].text());
    if (!key.starts_with(keys_)) return;
    if (name == "XADD") add_record(key, command);
    if (name == "HSET" || name == "HMSET" || name == "HINCRBY") put(key, command);
    if (name == "HDEL") each(command, 2, [&](const std::string& field) { erase(key, field); });
    if (name == "SADD" && key == keys_ + "logs") each(command, 2, [&](const std::string& id) { streams_.insert(id); });
    if (name == "SREM" && key == keys_ + "logs") each(command, 2, [&](const std::string& id) { streams_.erase(id); });
    if (name == "RENAME" && command.size() == 3) {
      if (auto moved = entries_.extract(key)) {
        moved.key() = command[2].text();
        entries_.erase(moved.key());
        entries_.insert(std::move(moved));
      }
    }
    if (name == "UNLINK" || name == "DEL") each(command, 1, [&](const std::string& other) { entries_.erase(other); });
  }

  [[nodiscard]] EarlierLogs logs() const {
    EarlierLogs found;
    const auto look = [&](const std::string& key) {
      const auto entries = entries_.find(key);
      const bool known = entries != entries_.end() && !entries->second.empty();
      if (known) found.first_entries.push_back(entries->second.begin()->second);
      found.more = found.more || !known;
    };
    for (const std::string& id : streams_) look(keys_ + "log:" + id);
    for (const std::string& id : hashes_) look(keys_ + "log:" + id + ":entries");
    return found;
  }

 private:
  template <class Body>
  static void each(const RedisReply& command, std::size_t from, Body body) {
    for (std::size_t i = from; i < command.size(); ++i) body(std::string(command[i].text()));
  }
  void add_record(const std::string& key, const RedisReply& command) {
    if (entries_.contains(key)) return;
    // XADD key id n FIRST k COUNT c CHECKSUM d DATA
    constexpr std::size_t data = 10;
    if (command.size() != data + 1) return;
    if (auto entry = first_entry_of(command[data].text())) entries_[key][0] = std::move(*entry);
  }
  /// What is no entry is none.
  void put(const std::string& key, const RedisReply& command) {
    for (std::size_t i = 2; i + 1 < command.size(); i += 2) {
      if (key == keys_ + "entries") hashes_.insert(std::string(command[i].text()));
      if (auto entry = bytes_of_entry(command[i + 1].text())) {
        entries_[key][static_cast<EntryNumber>(command[i].integer())] = std::move(*entry);
      }
    }
  }
  void erase(const std::string& key, const std::string& field) {
    if (key == keys_ + "entries") hashes_.erase(field);
    if (const auto entries = entries_.find(key); entries != entries_.end()) {
      entries->second.erase(std::strtoull(field.c_str(), nullptr, 10));
    }
  }

  std::string keys_;
  std::set<std::string> streams_, hashes_;  ///< ids of logs
  /// Entries by the key of their log and by number; of a stream the first one only.
  std::map<std::string, std::map<EntryNumber, std::string>> entries_;
};

struct FreeReader {
  void operator()(redisReader* reader) const { redisReaderFree(reader); }
};

/// False when there may be more than was read.
bool follow_file(const std::string& path, Follower& follower) {
  std::ifstream file(path, std::ios::binary);
  const std::unique_ptr<redisReader, FreeReader> reader(redisReaderCreate());
  std::array<char, 64 << 10> buffer{};
  for (std::size_t left = limits::earlier_redis_bytes_max; left > 0;) {
    file.read(buffer.data(), static_cast<std::streamsize>(std::min(left, buffer.size())));
    const auto size = static_cast<std::size_t>(file.gcount());
    if (size == 0) return true;
    left -= size;
    if (redisReaderFeed(reader.get(), buffer.data(), size) != REDIS_OK) return false;
    while (true) {
      void* command = nullptr;
      if (redisReaderGetReply(reader.get(), &command) != REDIS_OK) return false;
      if (!command) break;
      follower.follow(RedisReply(std::shared_ptr<redisReply>(static_cast<redisReply*>(command), freeReplyObject)));
    }
  }
  return false;
}

/// Whether a snapshot names a log, as far as it is not compressed.
bool names_a_log(const std::string& path, const std::string& key) {
  std::ifstream file(path, std::ios::binary);
  std::string text;
  for (std::size_t left = limits::earlier_redis_bytes_max; left > 0 && file;) {
    std::array<char, 64 << 10> buffer{};
    file.read(buffer.data(), buffer.size());
    const auto size = static_cast<std::size_t>(file.gcount());
    text.append(buffer.data(), size);
    if (text.find(key) != text.npos) return true;
    text.erase(0, text.size() - std::min(text.size(), key.size()));
    left -= std::min(left, size);
  }
  return false;
}

bool is_snapshot(const std::string& path) {
  std::string start(snapshot.size(), '\0');
  std::ifstream(path, std::ios::binary).read(start.data(), static_cast<std::streamsize>(start.size()));
  return start == snapshot;
}

/// Redis 7 keeps a folder of them, Redis 6 one file.
std::vector<std::string> append_only_files(const std::string& directory) {
  std::vector<std::string> files;
  std::error_code ignored;
  for (const fs::path& place : {fs::path(directory) / "appendonlydir", fs::path(directory)}) {
    for (const auto& entry : fs::directory_iterator(place, ignored)) {
      const std::string ending = entry.path().extension();
      if (ending == ".aof" || ending == ".rdb") files.push_back(entry.path());
    }
    std::sort(files.begin(), files.end());
    if (!files.empty()) break;
  }
  return files;
}

}  // namespace

EarlierLogs earlier_redis_logs(const std::string& directory, std::string_view prefix) {
  Follower follower(prefix);
  bool all = true;
  for (const std::string& file : append_only_files(directory)) {
    if (is_snapshot(file)) {
      all = all && !names_a_log(file, fmt::format("{{{}}}:log", prefix));
    } else {
      all = follow_file(file, follower) && all;
    }
  }
  EarlierLogs found = follower.logs();
  found.more = found.more || !all;
  return found;
}

EarlierLogs earlier_sqlite_logs(const std::string& path) {
  EarlierLogs found;
  const auto db = SqliteDb::open_to_read(path);
  if (!db) return found;
  SqliteStatement entries(*db.value(),
                          "SELECT bytes FROM (SELECT log AS id, min(number) AS first FROM entries GROUP BY log) "
                          "JOIN entries ON log = id AND number = first");
  while (true) {
    const auto row = entries.step();
    if (!row || !row.value()) return found;
    found.first_entries.emplace_back(entries.bytes(0));
  }
}

}  // namespace dc::store
