// The store that a head takes when nobody names one.
#include "store/choose.hpp"

#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>
#include <thread>

#include "core/fd.hpp"
#include "store/redis_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::Not;

constexpr auto table =
    R"(  sl  local_address rem_address   st tx_queue rx_queue tr tm->when retrnsmt   uid  timeout inode
   0: 0100007F:18EB 00000000:0000 0A 00000000:00000000 00:00000000 00000000  1001        0 1234 1 0000 100 0 0 10 0
   1: 0100007F:C350 0100007F:18EC 01 00000000:00000000 00:00000000 00000000     0        0 1235 1 0000 20 4 30 10 -1
)";

TEST(ListenerOfAPort, IsFound) {
  EXPECT_EQ(listener_of(table, 6379), std::optional<uid_t>(1001));
  EXPECT_EQ(listener_of(table, 6380), std::nullopt);
  EXPECT_EQ(listener_of(table, 50000), std::nullopt);  // connected, not listening
  EXPECT_EQ(listener_of("", 6379), std::nullopt);
}

class Choose : public testing::Test {
 protected:
  Choice choose(const std::string& password) {
    return choose_store({.redis_dir = dir_.file("redis-6379"),
                         .head_redis_dir = dir_.file("head-8899-redis"),
                         .password = password,
                         .head_port = 8899});
  }
  TemporaryDir dir_;
};

TEST_F(Choose, WithoutARedisTakesSqlite) {
  const Choice choice = choose("pw");
  EXPECT_EQ(choice.url, "sqlite");
  EXPECT_THAT(choice.notes, IsEmpty());
}

TEST_F(Choose, WithTooLongAPathTakesSqliteAndSaysSo) {
  const std::string long_name(100, 'x');
  const Choice choice = choose_store(
      {.redis_dir = dir_.file(long_name), .head_redis_dir = dir_.file("h"), .password = "pw", .head_port = 8899});
  EXPECT_EQ(choice.url, "sqlite");
  EXPECT_THAT(choice.notes, ElementsAre(AllOf(HasSubstr("longer than 107 bytes"), HasSubstr(long_name))));
}

TEST_F(Choose, SendsNothingToAnotherUsersListener) {
  if (::geteuid() != 0) GTEST_SKIP() << "needs root to be two users";
  ASSERT_EQ(::mkdir(dir_.file("redis-6379").c_str(), 0700), 0);
  sockaddr_un address{};
  address.sun_family = AF_UNIX;
  const std::string path = socket_in(dir_.file("redis-6379"));
  path.copy(address.sun_path, sizeof address.sun_path - 1);
  const Fd listener(::socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC, 0));
  ASSERT_EQ(::bind(listener.get(), reinterpret_cast<sockaddr*>(&address), sizeof address), 0);
  ASSERT_EQ(::seteuid(65534), 0);
  const int listening = ::listen(listener.get(), 8);  // the kernel notes who does this
  ASSERT_EQ(::seteuid(0), 0);
  ASSERT_EQ(listening, 0);
  std::string received;
  std::thread server([&] {
    for (int i = 0; i < 2; ++i) {  // the look whether somebody listens, and the attempt
      const Fd connection(::accept(listener.get(), nullptr, nullptr));
      char byte = 0;
      while (::read(connection.get(), &byte, 1) == 1) received += byte;
    }
  });
  const Choice choice = choose("pw");
  server.join();
  EXPECT_EQ(received, "");
  EXPECT_EQ(choice.url, "sqlite");
  EXPECT_THAT(choice.notes, ElementsAre(HasSubstr("another user's program listens there")));
}

class ChooseRedis : public Choose {
 protected:
  void SetUp() override {
    if (RedisServer::program().empty()) GTEST_SKIP() << "redis-server is not installed";
  }
  /// A server whose socket lies in this directory.
  std::unique_ptr<RedisServer> serve(const std::string& name, const std::string& password) {
    auto server = std::make_unique<RedisServer>("requirepass " + password + "\n", password);
    std::filesystem::create_directory(dir_.file(name));
    ::chmod(dir_.file(name).c_str(), 0700);
    std::filesystem::rename(server->dir().file("redis.sock"), socket_in(dir_.file(name)));
    return server;
  }
};

TEST_F(ChooseRedis, TakesThatOfStartRedisWithTheClustersPassword) {
  const auto server = serve("redis-6379", "s3cret-word");
  const Choice good = choose("s3cret-word");
  EXPECT_EQ(good.url, "redis+unix://" + dir_.file("redis-6379") + "/redis.sock?prefix=distributed-computing-8899");
  EXPECT_EQ(good.password, "s3cret-word");
  EXPECT_TRUE(good.of_same_user);
  const auto store = open_store({.url = good.url,
                                 .password = good.password,
                                 .of_same_user = good.of_same_user,
                                 .default_path = "",
                                 .content_hash = test_hash});
  ASSERT_EQ(problem(store), "");
  EXPECT_EQ(problem(store.value()->acquire(first_owner)), "");

  const Choice wrong = choose("wr0ng-word");
  EXPECT_EQ(wrong.url, "sqlite");
  EXPECT_THAT(wrong.notes, ElementsAre(AllOf(HasSubstr("does not take"), Not(HasSubstr("-word")))));
}

TEST_F(ChooseRedis, TakesTheHeadsOwnWithItsSecret) {
  const auto server = serve("head-8899-redis", "0123456789abcdef");
  EXPECT_THAT(choose("pw").notes, ElementsAre(HasSubstr("its secret cannot be read")));
  std::ofstream(secret_in(dir_.file("head-8899-redis"))) << "0123456789abcdef\n";
  const Choice choice = choose("pw");
  EXPECT_EQ(choice.url,
            "redis+unix://" + dir_.file("head-8899-redis") + "/redis.sock?prefix=distributed-computing-8899");
  EXPECT_EQ(choice.password, "0123456789abcdef");
}

TEST_F(ChooseRedis, PassesOverASocketThatADeadServerLeft) {
  serve("redis-6379", "pw").reset();
  ASSERT_TRUE(std::filesystem::exists(socket_in(dir_.file("redis-6379"))));
  const Choice choice = choose("pw");
  EXPECT_EQ(choice.url, "sqlite");
  EXPECT_THAT(choice.notes, IsEmpty());
}

}  // namespace
}  // namespace dc::store
