// See earlier_logs.hpp. An append-only file of Redis is a row of commands, written as they came.
#include "store/earlier_logs.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <array>
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

/// Follows the commands of one append-only file as far as they concern logs.
class Follower {
 public:
  explicit Follower(std::string_view prefix) : keys_(fmt::format("{{{}}}:", prefix)) {}

  void follow(const RedisReply& command) {
    if (command.size() < 2) return;
    std::string name(command[0].text());
    std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::toupper(c); });
    const std::string key(command[1].text());
    if (!key.starts_with(keys_)) return;
    if (name == "XADD") add(key, command);
    if (name == "SADD" && key == keys_ + "logs") each(command, [&](std::string&& id) { logs_.insert(std::move(id)); });
    if (name == "SREM" && key == keys_ + "logs") each(command, [&](std::string&& id) { logs_.erase(id); });
    if (name == "RENAME" && command.size() == 3 && firsts_.contains(key)) {
      firsts_[std::string(command[2].text())] = std::move(firsts_[key]);
      firsts_.erase(key);
    }
    if (name == "UNLINK" || name == "DEL") {
      firsts_.erase(key);
      each(command, [&](std::string&& other) { firsts_.erase(other); });
    }
  }

  [[nodiscard]] EarlierLogs logs() const {
    EarlierLogs found;
    for (const std::string& id : logs_) {
      const auto first = firsts_.find(keys_ + "log:" + id);
      if (first != firsts_.end()) found.first_entries.push_back(first->second);
      found.more = found.more || first == firsts_.end();
    }
    return found;
  }

 private:
  template <class Body>
  static void each(const RedisReply& command, Body body) {
    for (std::size_t i = 2; i < command.size(); ++i) body(std::string(command[i].text()));
  }
  void add(const std::string& key, const RedisReply& command) {
    if (firsts_.contains(key)) return;
    // XADD key id n FIRST k COUNT c CHECKSUM d DATA
    constexpr std::size_t data = 10;
    if (command.size() != data + 1) return;
    if (auto entry = first_entry_of(command[data].text())) firsts_[key] = std::move(*entry);
  }

  std::string keys_;
  std::set<std::string> logs_;
  std::map<std::string, std::string> firsts_;  ///< first entry by key of its stream
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
  SqliteStatement entries(*db.value(), "SELECT bytes FROM entries WHERE number = 1");
  while (true) {
    const auto row = entries.step();
    if (!row || !row.value()) return found;
    found.first_entries.emplace_back(entries.bytes(0));
  }
}

}  // namespace dc::store
