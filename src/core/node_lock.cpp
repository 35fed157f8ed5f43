// See node_lock.hpp.
#include "core/node_lock.hpp"

#include <algorithm>
#include <chrono>
#include <filesystem>
#include <system_error>

#include "core/paths.hpp"

namespace dc {
namespace {

namespace fs = std::filesystem;

/// A file that no start of a machine has touched for so long is of a machine that was not ended in order.
constexpr auto forgotten_after = std::chrono::hours(24 * 14);

/// The names in a directory's "PREFIX.json" and "PREFIX-NAME.json".
void add_names(const fs::path& dir, const std::string& prefix, std::vector<std::string>& names) {
  constexpr std::string_view ending = ".json";
  std::error_code ignored;
  for (fs::directory_iterator entry(dir, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::string file = entry->path().filename();
    if (!file.starts_with(prefix) || !file.ends_with(ending)) continue;
    std::string name = file.substr(prefix.size(), file.size() - prefix.size() - ending.size());
    if (name.starts_with('-')) name.erase(0, 1);
    if (std::find(names.begin(), names.end(), name) == names.end()) names.push_back(std::move(name));
  }
}

/// What earlier starts of this and other machines left behind. A running node keeps its own young.
void sweep(const fs::path& dir) {
  std::error_code ignored;
  const auto now = fs::file_time_type::clock::now();
  for (fs::directory_iterator entry(dir, ignored), end; !ignored && entry != end; entry.increment(ignored)) {
    std::error_code gone;
    const auto touched = fs::last_write_time(entry->path(), gone);
    if (!gone && now - touched > forgotten_after) (void)LockFile::take(entry->path());  // removed with the lock's end
  }
}

}  // namespace

NodeLock::Taken NodeLock::take(const std::string& name) {
  Taken taken;
  taken.lock.name_ = name;
  const std::string lasting = paths::node_lock(name);
  LockFile::Taken in_state = LockFile::take(lasting);
  taken.owner = std::move(in_state.owner);
  if (!taken.owner.empty()) return taken;
  LockFile::Taken in_run = LockFile::take(paths::node_file(name));
  taken.owner = std::move(in_run.owner);
  if (!in_state.lock.held()) taken.problem = std::move(in_run.problem);
  if (in_state.lock.held()) sweep(fs::path(lasting).parent_path());
  taken.lock.in_state_ = std::move(in_state.lock);
  taken.lock.in_run_ = std::move(in_run.lock);
  return taken;
}

std::optional<std::string> NodeLock::owner(const std::string& name) {
  if (auto lasting = LockFile::read_owner(paths::node_lock(name))) return lasting;
  return LockFile::read_owner(paths::node_file(name));
}

std::vector<std::string> NodeLock::running() {
  std::vector<std::string> names;
  add_names(paths::run_dir(), "node", names);
  add_names(fs::path(paths::node_lock("")).parent_path(), paths::machine_key() + "-node", names);
  std::erase_if(names, [](const std::string& name) { return !owner(name); });
  std::sort(names.begin(), names.end());
  return names;
}

std::string NodeLock::write(const std::string& content) {
  if (in_state_.held()) {
    if (std::string problem = in_state_.write(content); !problem.empty()) return problem;
  }
  return in_run_.held() ? in_run_.write(content) : std::string();
}

void NodeLock::look() {
  if (in_state_.held()) in_state_.keep_at(paths::node_lock(name_));
  if (in_run_.held()) in_run_.keep_at(paths::node_file(name_));
}

}  // namespace dc
