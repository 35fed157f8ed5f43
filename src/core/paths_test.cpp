// Where files go, and directories that nobody else may write in.
#include "core/paths.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdlib>
#include <filesystem>

namespace dc::paths {
namespace {

using ::testing::HasSubstr;

class Paths : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "dc-paths-XXXXXX";
    base_ = mkdtemp(pattern.data());
    for (const char* name : {"DISTRIBUTED_COMPUTING_HOME", "XDG_RUNTIME_DIR", "XDG_STATE_HOME", "XDG_CACHE_HOME"}) {
      unsetenv(name);
    }
  }
  void TearDown() override {
    unsetenv("DISTRIBUTED_COMPUTING_HOME");
    unsetenv("XDG_RUNTIME_DIR");
    std::filesystem::remove_all(base_);
  }
  std::string base_;
};

TEST_F(Paths, FollowOneVariableElseXdgElseTheDefaults) {
  EXPECT_EQ(run_dir(), "/tmp/distributed-computing-" + std::to_string(geteuid()));
  EXPECT_THAT(state_dir(), ::testing::EndsWith("/.local/state/distributed-computing"));
  setenv("XDG_RUNTIME_DIR", base_.c_str(), 1);
  setenv("XDG_CACHE_HOME", "not/absolute", 1);
  EXPECT_EQ(head_socket(8899), base_ + "/distributed-computing/head-8899.sock");
  EXPECT_THAT(cache_dir(), ::testing::EndsWith("/.cache/distributed-computing"));
  setenv("DISTRIBUTED_COMPUTING_HOME", "/data/dc", 1);
  EXPECT_EQ(head_file(1), "/data/dc/run/head-1.json");
  EXPECT_EQ(node_file(""), "/data/dc/run/node.json");
  EXPECT_EQ(node_lock("a"), "/data/dc/state/nodes/" + machine_key() + "-node-a.json");
  EXPECT_EQ(state_dir(), "/data/dc/state");
  EXPECT_EQ(cache_dir(), "/data/dc/cache");
}

TEST_F(Paths, ARunDirectoryThatIsNotOursIsNotTaken) {
  const std::string common = "/tmp/distributed-computing-" + std::to_string(geteuid());
  setenv("XDG_RUNTIME_DIR", "/run/user/123456789", 1);  // of the machine where the job was submitted
  EXPECT_EQ(run_dir(), common);
  if (geteuid() != 0) return;
  const std::string theirs = base_ + "/theirs";
  ASSERT_EQ(make_private_dir(theirs), "");
  ASSERT_EQ(chown(theirs.c_str(), 12345, 12345), 0);
  setenv("XDG_RUNTIME_DIR", theirs.c_str(), 1);
  EXPECT_EQ(run_dir(), common);
  std::filesystem::remove_all(theirs);
}

TEST_F(Paths, AnExistingRunDirectoryBecomesPrivate) {
  setenv("DISTRIBUTED_COMPUTING_HOME", base_.c_str(), 1);
  std::filesystem::create_directories(run_dir());
  ASSERT_EQ(chmod(run_dir().c_str(), 0755), 0);
  EXPECT_EQ(make_private_dir(run_dir()), "");
  struct stat info {};
  ASSERT_EQ(stat(run_dir().c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(Paths, DirectoriesAreMadePrivate) {
  EXPECT_EQ(make_private_dir(base_ + "/a/b"), "");
  EXPECT_EQ(make_private_dir(base_ + "/a/b"), "");
  struct stat info {};
  ASSERT_EQ(stat((base_ + "/a/b").c_str(), &info), 0);
  EXPECT_EQ(info.st_mode & 0777, 0700u);
}

TEST_F(Paths, WhatIsWrongWithADirectoryIsSaid) {
  EXPECT_THAT(make_private_dir("/proc/nowhere/run"), HasSubstr("cannot make the directory /proc/nowhere"));
  ASSERT_EQ(make_private_dir(base_ + "/open"), "");
  ASSERT_EQ(chmod((base_ + "/open").c_str(), 0777), 0);
  EXPECT_THAT(make_private_dir(base_ + "/open"), HasSubstr("others may write in the directory"));
  ASSERT_EQ(symlink("/nowhere", (base_ + "/link").c_str()), 0);
  EXPECT_NE(make_private_dir(base_ + "/link"), "");
  if (geteuid() == 0) {
    ASSERT_EQ(make_private_dir(base_ + "/theirs"), "");
    ASSERT_EQ(chown((base_ + "/theirs").c_str(), 12345, 12345), 0);
    EXPECT_THAT(make_private_dir(base_ + "/theirs"), HasSubstr("belongs to someone else"));
  }
}

}  // namespace
}  // namespace dc::paths
