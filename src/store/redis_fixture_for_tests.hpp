// A redis-server of the test's own, in a directory that goes with it.
#pragma once

#include <fcntl.h>
#include <signal.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <chrono>
#include <memory>
#include <string>
#include <vector>

#include "core/limits.hpp"
#include "store/redis_connection.hpp"
#include "store/redis_store.hpp"
#include "store/store_fixture_for_tests.hpp"
#include "store/until_for_tests.hpp"

namespace dc::store {

class RedisServer {
 public:
  /// `settings`: lines of its configuration, beside those for a Unix socket and an append-only file.
  explicit RedisServer(std::string settings = "", std::string with_password = "")
      : password(std::move(with_password)), settings_(std::move(settings)) {
    start();
  }
  ~RedisServer() {
    thaw();
    kill();
  }

  /// Path of the program; empty when there is none.
  static std::string program() {
    for (const char* name : {"/usr/bin/redis-server", "/usr/bin/valkey-server", "/usr/local/bin/redis-server"}) {
      if (::access(name, X_OK) == 0) return name;
    }
    return "";
  }

  void start() {
    if (program().empty()) return;
    int input[2];
    ASSERT_EQ(::pipe2(input, O_CLOEXEC), 0);
    const std::string settings = "port 0\nunixsocket " + dir_.file("redis.sock") + "\ndir " + dir_.path() +
                                 "\nsave \"\"\nappendonly yes\nlogfile " + dir_.file("log") + "\n" + settings_;
    const std::string path = program();
    pid_ = ::fork();
    if (pid_ == 0) {
      ::prctl(PR_SET_PDEATHSIG, SIGKILL);  // a test that crashes leaves no server behind, which would hold its output
      ::dup2(input[0], STDIN_FILENO);
      ::execl(path.c_str(), path.c_str(), "-", nullptr);
      ::_exit(127);
    }
    ::close(input[0]);
    ASSERT_EQ(::write(input[1], settings.data(), settings.size()), static_cast<ssize_t>(settings.size()));
    ::close(input[1]);
    const auto end = std::chrono::steady_clock::now() + 20s;
    std::string last = "not tried";
    while (!last.empty() && std::chrono::steady_clock::now() < end) {
      ::usleep(5000);
      last = problem(try_ask({"PING"}));
    }
    ASSERT_EQ(last, "");
  }
  /// As by the loss of power, but for what the kernel had.
  void kill() {
    if (pid_ <= 0) return;
    ::kill(pid_, SIGKILL);
    ::waitpid(pid_, nullptr, 0);
    pid_ = 0;
  }
  void freeze() const { ::kill(pid_, SIGSTOP); }
  void thaw() const {
    if (pid_ > 0) ::kill(pid_, SIGCONT);
  }

  [[nodiscard]] RedisAddress address() const {
    RedisAddress address;
    address.unix_path = dir_.file("redis.sock");
    address.password = password;
    return address;
  }
  /// From a connection of its own.
  RedisReply ask(RedisCommand command) {
    Result<RedisReply> reply = try_ask(std::move(command));
    EXPECT_EQ(problem(reply), "");
    return reply.value();
  }
  [[nodiscard]] const TemporaryDir& dir() const { return dir_; }

  std::string password;  ///< as in the settings

 private:
  Result<RedisReply> try_ask(RedisCommand command) {
    BOOST_OUTCOME_TRY(connection, RedisConnection::open(address(), {}));
    BOOST_OUTCOME_TRY(replies, connection->ask(std::vector<RedisCommand>{std::move(command)}));
    if (replies[0].is_error()) return redis_error("the test's Redis", replies[0].text());
    return replies[0];
  }

  std::string settings_;
  TemporaryDir dir_;
  pid_t pid_ = 0;
};

/// A test with a server.
class RedisFixture : public testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::program().empty()) GTEST_SKIP() << "redis-server is not installed";
    server_ = std::make_unique<RedisServer>();
  }
  std::unique_ptr<RedisStore> unopened() {
    return std::make_unique<RedisStore>(RedisOptions{.address = server_->address(), .content_hash = test_hash});
  }
  std::unique_ptr<RedisStore> open(const Owner& owner = first_owner) {
    auto store = unopened();
    EXPECT_EQ(problem(store->acquire(owner)), "");
    return store;
  }
  static std::string key(const std::string& name) { return "{distributed-computing}:" + name; }
  std::vector<std::string> keys() {
    const RedisReply reply = server_->ask({"KEYS", "*"});
    std::vector<std::string> names;
    for (std::size_t i = 0; i < reply.size(); ++i) names.emplace_back(reply[i].text());
    return names;
  }
  std::string why_not_replayed(LogId log) {
    const Result<void> replayed = open()->replay(log, [](EntryNumber, Entry&&) {});
    EXPECT_EQ(code_of(replayed), ErrorCode::protocol);
    return problem(replayed);
  }
  Result<std::uint64_t> acquired() { return unopened()->acquire(first_owner); }
  /// As a standby does it: asks until it has the store, or its holder was seen to live.
  static Result<std::uint64_t> acquire_patiently(Store& store, const Owner& owner = second_owner) {
    Result<std::uint64_t> taken = store.acquire(owner);
    while (!taken && store.may_be_gone()) {
      pass(100ms);
      taken = store.acquire(owner);
    }
    return taken;
  }
  /// As another head would take it that has waited long enough.
  void take_from_outside(const std::string& term) {
    // At once, as a head does it: the holder looks whenever it likes.
    server_->ask({"MSET", key("term"), term, key("lease"), term + " 1 south other-machine 1 0"});
  }

  std::unique_ptr<RedisServer> server_;
};

}  // namespace dc::store
