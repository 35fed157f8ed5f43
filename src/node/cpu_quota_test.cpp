// How much of the cores a control group leaves to a node.
#include "node/cpu_quota.hpp"

#include <gtest/gtest.h>
#include <stdlib.h>

#include <fstream>
#include <string>

namespace dc::node {
namespace {

namespace fs = std::filesystem;

class CpuQuota : public testing::Test {
 protected:
  CpuQuota() {
    std::string pattern = testing::TempDir() + "quota-XXXXXX";
    root_ = ::mkdtemp(pattern.data());
  }
  ~CpuQuota() override { fs::remove_all(root_); }
  void write(const std::string& path, const std::string& text) const {
    fs::create_directories((root_ / path).parent_path());
    std::ofstream(root_ / path) << text << "\n";
  }
  [[nodiscard]] std::optional<double> quota() const { return cpu_quota(root_ / "proc", root_ / "cgroup"); }
  fs::path root_;
};

TEST_F(CpuQuota, IsTheLeastOfAllGroupsAround) {
  EXPECT_FALSE(quota());
  write("proc/self/cgroup", "0::/a/b");
  EXPECT_FALSE(quota());
  write("cgroup/a/b/cpu.max", "max 100000");
  EXPECT_FALSE(quota());
  write("cgroup/a/cpu.max", "250000 100000");
  EXPECT_EQ(quota(), 2.5);
  write("cgroup/a/b/cpu.max", "50000 100000");
  EXPECT_EQ(quota(), 0.5);
}

TEST_F(CpuQuota, OfAContainerStandsInItsRoot) {
  write("proc/self/cgroup", "0::/../../outside");
  write("cgroup/cpu.max", "400000 100000");
  EXPECT_EQ(quota(), 4);
}

TEST_F(CpuQuota, OfTheFirstVersionIsReadToo) {
  write("proc/self/cgroup", "4:memory:/docker/1\n3:cpu,cpuacct:/docker/1");
  write("cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "-1");
  write("cgroup/cpu,cpuacct/docker/1/cpu.cfs_period_us", "100000");
  EXPECT_FALSE(quota());
  write("cgroup/cpu,cpuacct/docker/1/cpu.cfs_quota_us", "300000");
  EXPECT_EQ(quota(), 3);
}

}  // namespace
}  // namespace dc::node
