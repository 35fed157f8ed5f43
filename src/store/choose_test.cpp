// The store that a head takes when nobody names one.
#include "store/choose.hpp"

#include <netinet/in.h>
#include <sys/socket.h>

#include "store/redis_fixture.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;
using testing::Not;

constexpr auto table =
    R"(  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 1234 1 0000 100 0 0 10 0
   1: 0100007F:C350 0100007F:18EC 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0000 20 4 30 10 -1
)";

TEST(Choose, FindsWhoListens) {
  EXPECT_EQ(listener_of(table, 6379), std::optional<uid_t>(1001));
  EXPECT_EQ(listener_of(table, 6380), std::nullopt);
  EXPECT_EQ(listener_of(table, 50000), std::nullopt);  // connected, not listening
  EXPECT_EQ(listener_of("", 6379), std::nullopt);
}

TEST(Choose, TakesWhatWasNamed) {
  const Choice choice = choose_store({.url = "redis://elsewhere", .password = "pw", .head_port = 8899});
  EXPECT_EQ(choice.url, "redis://elsewhere");
  EXPECT_EQ(choice.password, "");
}

class ChooseRedis : public testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::program().empty()) GTEST_SKIP() << "redis-server is not installed";
    const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    ASSERT_EQ(::bind(probe, reinterpret_cast<sockaddr*>(&address), size), 0);
    ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
    ::close(probe);
    port_ = ntohs(address.sin_port);
  }
  Choice choose(const std::string& password) {
    return choose_store({.url = "", .password = password, .head_port = 8899, .redis_port = port_});
  }
  std::uint16_t port_ = 0;
};

TEST_F(ChooseRedis, WithoutOneTakesSqlite) {
  const Choice choice = choose("pw");
  EXPECT_EQ(choice.url, "sqlite");
  EXPECT_EQ(choice.note, "");
}

TEST_F(ChooseRedis, TakesTheOneThatTakesThePassword) {
  RedisServer server(fmt::format("port {}\nbind 127.0.0.1\n", port_));
  const Choice open_to_all = choose("pw");
  EXPECT_EQ(open_to_all.url, "sqlite");
  EXPECT_THAT(open_to_all.note, HasSubstr("is not used"));

  server.ask({"CONFIG", "SET", "requirepass", "s3cret word"});
  const Choice good = choose("s3cret word");
  EXPECT_EQ(good.url, fmt::format("redis://127.0.0.1:{}?prefix=distributed-computing-8899", port_));
  EXPECT_EQ(good.password, "s3cret word");
  const auto store =
      open_store({.url = good.url, .password = good.password, .default_path = "", .content_hash = test_hash});
  ASSERT_EQ(problem(store), "");
  EXPECT_EQ(problem(store.value()->acquire(first_owner)), "");

  const Choice wrong = choose("wr0ng word");
  EXPECT_EQ(wrong.url, "sqlite");
  EXPECT_THAT(wrong.note, AllOf(HasSubstr("does not take"), Not(HasSubstr(" word"))));
}

}  // namespace
}  // namespace dc::store
