// One node of a name per user and machine, whatever is removed.
#include "core/node_lock.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <chrono>
#include <cstdio>
#include <filesystem>
#include <tuple>

#include "core/paths.hpp"

namespace dc {
namespace {

namespace fs = std::filesystem;

class NodeLocks : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = fs::temp_directory_path() / "dc-lock-XXXXXX";
    base_ = mkdtemp(pattern.data());
    setenv("DISTRIBUTED_COMPUTING_HOME", base_.c_str(), 1);
  }
  void TearDown() override {
    unsetenv("DISTRIBUTED_COMPUTING_HOME");
    fs::remove_all(base_);
  }
  static std::string refused(const std::string& name) { return NodeLock::take(name).owner; }
  fs::path base_;
};

TEST_F(NodeLocks, HoldWhileEitherFileIsThereAndBothComeBack) {
  auto taken = NodeLock::take("");
  ASSERT_EQ(taken.problem + taken.owner, "");
  ASSERT_EQ(taken.lock.write("me"), "");
  EXPECT_EQ(refused(""), "me");
  fs::remove_all(paths::run_dir());
  EXPECT_EQ(refused(""), "me");
  EXPECT_EQ(NodeLock::owner(""), "me");
  taken.lock.look();
  fs::remove_all(paths::state_dir());
  EXPECT_EQ(refused(""), "me") << "by the file that came back";
  taken.lock.look();
  EXPECT_TRUE(fs::exists(paths::node_lock("")) && fs::exists(paths::node_file("")));
  taken.lock = NodeLock();
  EXPECT_EQ(NodeLock::owner(""), std::nullopt);
  EXPECT_FALSE(fs::exists(paths::node_lock("")) || fs::exists(paths::node_file("")));
}

TEST_F(NodeLocks, GoToEachNameOnce) {
  auto plain = NodeLock::take("");
  auto named = NodeLock::take("job-12-0");
  ASSERT_EQ(plain.lock.write("a") + named.lock.write("b"), "");
  EXPECT_EQ(refused(""), "a");
  EXPECT_EQ(refused("job-12-0"), "b");
  EXPECT_EQ(NodeLock::running(), (std::vector<std::string>{"", "job-12-0"}));
}

TEST_F(NodeLocks, WithoutAStateDirectoryTheRunDirectoryCounts) {
  fs::create_directories(base_);
  std::ignore = std::fclose(std::fopen(paths::state_dir().c_str(), "w"));  // a file is in the way
  auto taken = NodeLock::take("");
  ASSERT_EQ(taken.problem + taken.owner, "");
  ASSERT_EQ(taken.lock.write("me"), "");
  EXPECT_EQ(refused(""), "me");
  taken.lock.look();
}

TEST_F(NodeLocks, WhatOthersHavePutInOurPlaceIsLeftAlone) {
  const std::string path = base_ / "lock.json";
  auto first = LockFile::take(path);
  ASSERT_EQ(first.lock.write("first"), "");
  fs::remove(path);
  auto second = LockFile::take(path);
  ASSERT_EQ(second.lock.write("second"), "");
  EXPECT_FALSE(first.lock.keep_at(path));
  first.lock = LockFile();
  EXPECT_EQ(LockFile::read_owner(path), "second");
}

TEST_F(NodeLocks, LocksOfMachinesThatAreGoneAreSweptAway) {
  const fs::path nodes = fs::path(paths::node_lock("")).parent_path();
  fs::create_directories(nodes);
  const fs::path old = nodes / "0123-4-node.json", young = nodes / "4567-8-node.json";
  for (const fs::path& file : {old, young}) std::ignore = std::fclose(std::fopen(file.c_str(), "w"));
  fs::last_write_time(old, fs::file_time_type::clock::now() - std::chrono::hours(24 * 30));
  const auto taken = NodeLock::take("");
  EXPECT_FALSE(fs::exists(old));
  EXPECT_TRUE(fs::exists(young));
}

}  // namespace
}  // namespace dc
