// Pools in a store that a head does not use are named.
#include "head/unserved_pools.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>

#include "core/paths.hpp"
#include "store/choose.hpp"
#include "store/redis_address.hpp"

namespace dc::head {
namespace {

using ::testing::AllOf;
using ::testing::Contains;
using ::testing::HasSubstr;
using ::testing::Not;

constexpr std::uint16_t some_port = 39101;

class UnservedPools : public ::testing::Test {
 protected:
  void SetUp() override {
    std::string pattern = std::filesystem::temp_directory_path() / "dc-head-XXXXXX";
    home_ = ::mkdtemp(pattern.data());
    if (const char* before = std::getenv("DISTRIBUTED_COMPUTING_HOME")) before_ = before;
    ::setenv("DISTRIBUTED_COMPUTING_HOME", home_.c_str(), 1);
  }
  void TearDown() override {
    before_.empty() ? ::unsetenv("DISTRIBUTED_COMPUTING_HOME")
                    : ::setenv("DISTRIBUTED_COMPUTING_HOME", before_.c_str(), 1);
    std::filesystem::remove_all(home_);
  }
  /// As a Redis leaves it: a snapshot with a log of this head.
  static void leave_pool_in(const std::string& directory) {
    std::filesystem::create_directories(directory + "/appendonlydir");
    std::ofstream(directory + "/appendonlydir/appendonly.aof.1.base.rdb")
        << "REDIS0010{" << store::shared_prefix(some_port) << "}:logs";
  }
  static std::string url_of(const std::string& directory) {
    return store::redis_socket_url(store::socket_in(directory), "prefix=" + store::shared_prefix(some_port));
  }

 private:
  std::string home_, before_;
};

TEST_F(UnservedPools, InTheRedisOfAHeadThatPythonStarted) {
  const std::string directory = paths::head_redis_dir(some_port);
  const auto named = HasSubstr("named pools of this head lie in " + directory + ", and are not served now");
  EXPECT_THAT(unserved_pools("sqlite", some_port), Not(Contains(named)));
  leave_pool_in(directory);
  const std::string url = "--store '" + url_of(directory) + "&password=SECRET'";
  EXPECT_THAT(unserved_pools("sqlite", some_port),
              Contains(AllOf(named, HasSubstr("start_head_node in Python, which start"), HasSubstr(url))));
  EXPECT_THAT(unserved_pools(url_of(paths::redis_dir(seed_redis_port)), some_port),
              Contains(AllOf(named, HasSubstr("while the Redis of start_redis() does not run"))));
  EXPECT_THAT(unserved_pools(url_of(directory), some_port), Not(Contains(named)));
  EXPECT_THAT(unserved_pools("sqlite", some_port + 1), Not(Contains(HasSubstr("not served"))));
}

TEST_F(UnservedPools, InTheRedisOfStartRedis) {
  const std::string directory = paths::redis_dir(seed_redis_port);
  leave_pool_in(directory);
  const auto named = HasSubstr("named pools of this head lie in " + directory + ", and are not served now");
  EXPECT_THAT(unserved_pools("sqlite", some_port), Contains(named));
  EXPECT_THAT(unserved_pools(url_of(directory), some_port), Not(Contains(named)));
}

}  // namespace
}  // namespace dc::head
