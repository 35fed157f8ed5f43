// The store on a Redis behind TLS, with a real redis-server.
#include <gtest/gtest.h>

#include <netinet/in.h>
#include <sys/socket.h>

#include <cstdlib>

#include "net/session.hpp"
#include "net/tls_stream.hpp"
#include "store/redis_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;

class RedisTls : public testing::Test {
 protected:
  void SetUp() override {
    if (RedisServer::program().empty()) GTEST_SKIP() << "redis-server is not installed";
    const std::string make =
        "openssl req -x509 -newkey ec -pkeyopt ec_paramgen_curve:prime256v1 -nodes -days 2 "
        "-subj /CN=test -addext subjectAltName=DNS:localhost,IP:127.0.0.1 -keyout " +
        keys_.file("key.pem") + " -out " + keys_.file("cert.pem") + " 2>/dev/null";
    if (std::system(make.c_str()) != 0) GTEST_SKIP() << "openssl is not installed";
    port_ = free_port();
    server_ = std::make_unique<RedisServer>(
        fmt::format("tls-port {}\nbind 127.0.0.1 127.0.0.2\ntls-auth-clients no\n"
                    "tls-cert-file {}\ntls-key-file {}\ntls-ca-cert-file {}\n",
                    port_, keys_.file("cert.pem"), keys_.file("key.pem"), keys_.file("cert.pem")));
  }
  static std::uint16_t free_port() {
    const int probe = ::socket(AF_INET, SOCK_STREAM, 0);
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    EXPECT_EQ(::bind(probe, reinterpret_cast<sockaddr*>(&address), size), 0);
    ::getsockname(probe, reinterpret_cast<sockaddr*>(&address), &size);
    ::close(probe);
    return ntohs(address.sin_port);
  }
  std::unique_ptr<Store> open(const std::string& host, const std::string& query) {
    Result<std::unique_ptr<Store>> opened = open_store({.url = fmt::format("rediss://{}:{}{}", host, port_, query),
                                                        .default_path = "",
                                                        .content_hash = net::content_hash,
                                                        .dial_tls = net::dial_tls_stream});
    EXPECT_EQ(problem(opened), "");
    return std::move(opened.value());
  }

  TemporaryDir keys_;
  std::uint16_t port_ = 0;
  std::unique_ptr<RedisServer> server_;
};

TEST_F(RedisTls, KeepsEntriesAndLargePayloads) {
  for (const char* host : {"localhost", "127.0.0.1"}) {
    const auto store = open(host, "?ca=" + keys_.file("cert.pem"));
    ASSERT_EQ(problem(store->acquire(first_owner)), "");
    const Logs expected{{1, {entry("a", {std::string(20'000'000, 'x'), "small"})}}};
    ASSERT_EQ(problem(replace(*store, 1, expected.at(1))), "");
    EXPECT_TRUE(read_all(*store) == expected);
  }
}

TEST_F(RedisTls, BelievesOnlyAGoodCertificate) {
  const Result<std::uint64_t> refused = open("localhost", "")->acquire(first_owner);
  EXPECT_EQ(code_of(refused), ErrorCode::rejected);
  EXPECT_THAT(problem(refused), HasSubstr("certificate is not believed"));
  EXPECT_EQ(problem(open("localhost", "?insecure=1")->acquire(first_owner)), "");
  const Result<std::uint64_t> other_name = open("127.0.0.2", "?ca=" + keys_.file("cert.pem"))->acquire(first_owner);
  EXPECT_EQ(code_of(other_name), ErrorCode::rejected);
  const Result<std::uint64_t> no_file = open("localhost", "?ca=/nowhere.pem")->acquire(first_owner);
  EXPECT_THAT(problem(no_file), HasSubstr("/nowhere.pem"));
}

TEST_F(RedisTls, AFrozenServerFailsACallInBoundedTime) {
  const auto store = open("localhost", "?insecure=1");
  ASSERT_EQ(problem(store->acquire(first_owner)), "");
  server_->freeze();
  EXPECT_EQ(code_of(append(*store, {{1, entry("a")}})), ErrorCode::unreachable);
  EXPECT_THAT(problem(append(*store, {{1, entry("a")}})), HasSubstr("no answer for 2.5 s"));
  server_->thaw();
  ASSERT_EQ(problem(append(*store, {{1, entry("b")}})), "");
  EXPECT_EQ(read_all(*store), (Logs{{1, {entry("b")}}}));
}

}  // namespace
}  // namespace dc::store
