// Counters of the OOM killer in file systems of the test's own.
#include "node/oom_watch.hpp"

#include <gtest/gtest.h>
#include <unistd.h>

#include <fstream>

namespace dc::node {
namespace {

namespace fs = std::filesystem;

class OomWatchTest : public testing::Test {
 protected:
  OomWatchTest() { fs::create_directories(proc_ / "self"); }
  ~OomWatchTest() override { fs::remove_all(root_); }
  static void write(const fs::path& file, const std::string& text) {
    fs::create_directories(file.parent_path());
    std::ofstream(file) << text;
  }
  const fs::path root_ = fs::temp_directory_path() / ("oom_watch_test_" + std::to_string(::getpid()));
  const fs::path proc_ = root_ / "proc", cgroups_ = root_ / "cgroup";
};

TEST_F(OomWatchTest, ReadsItsOwnGroup) {
  const fs::path events = cgroups_ / "system.slice/node.service/memory.events";
  write(proc_ / "self/cgroup", "0::/system.slice/node.service\n");
  write(events, "low 0\nhigh 0\nmax 10\noom 1\noom_kill 3\n");
  OomWatch watch(proc_, cgroups_);
  EXPECT_FALSE(watch.advanced());
  write(events, "low 0\nhigh 0\nmax 12\noom 2\noom_kill 4\n");
  EXPECT_TRUE(watch.advanced());
  EXPECT_FALSE(watch.advanced());
}

TEST_F(OomWatchTest, ReadsAGroupOfTheFirstVersion) {
  const fs::path control = cgroups_ / "memory/jobs/memory.oom_control";
  write(proc_ / "self/cgroup", "9:name=systemd:/\n4:memory:/jobs\n0::/\n");
  write(control, "oom_kill_disable 0\nunder_oom 0\noom_kill 0\n");
  OomWatch watch(proc_, cgroups_);
  write(control, "oom_kill_disable 0\nunder_oom 1\noom_kill 1\n");
  EXPECT_TRUE(watch.advanced());
}

TEST_F(OomWatchTest, ElseTheMachinesCount) {
  write(proc_ / "self/cgroup", "0::/\n");
  write(proc_ / "vmstat", "nr_free_pages 5\noom_kill 7\npgfault 1\n");
  OomWatch watch(proc_, cgroups_);
  EXPECT_FALSE(watch.advanced());
  write(proc_ / "vmstat", "nr_free_pages 5\noom_kill 8\npgfault 1\n");
  EXPECT_TRUE(watch.advanced());
}

TEST_F(OomWatchTest, AMachineThatTellsNothingNeverAdvances) {
  OomWatch watch(proc_, cgroups_);
  EXPECT_FALSE(watch.advanced());
}

}  // namespace
}  // namespace dc::node
