// URLs of Redis, right and wrong.
#include "store/redis_address.hpp"

#include "store/store_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::HasSubstr;
using testing::Not;

std::string name(const std::string& url) {
  const Result<RedisAddress> address = parse_redis_url(url);
  EXPECT_EQ(problem(address), "");
  return address.value().name();
}

TEST(RedisAddress, IsReadFromAUrl) {
  RedisAddress expected;
  EXPECT_EQ(parse_redis_url("redis://localhost").value(), expected);
  expected.host = "db.example.com";
  expected.port = 7000;
  expected.user = "me";
  expected.password = "a:b@c/d%";
  expected.db = 3;
  EXPECT_EQ(parse_redis_url("redis://me:a:b@c%2Fd%25@db.example.com:7000/3").value(), expected);
  expected.tls = true;
  expected.ca_file = "/etc/ca.pem";
  expected.prefix = "lab";
  EXPECT_EQ(parse_redis_url("rediss://me:a:b@c%2Fd%25@db.example.com:7000/3?ca=/etc/ca.pem&prefix=lab").value(),
            expected);
  RedisAddress local;
  local.unix_path = "/run/redis.sock";
  local.password = "pw";
  local.db = 2;
  EXPECT_EQ(parse_redis_url("redis+unix:///run/redis.sock?db=2&password=pw").value(), local);
  EXPECT_EQ(parse_redis_url("redis://:pw@[::1]:7000").value().host, "::1");
  EXPECT_TRUE(parse_redis_url("rediss://host?insecure=1").value().insecure);
}

TEST(RedisAddress, IsNamedWithoutItsPassword) {
  EXPECT_EQ(name("redis://me:s3cret@host"), "Redis at host:6379");
  EXPECT_EQ(name("rediss://:s3cret@[::1]:7000/3?prefix=lab"), "Redis at [::1]:7000/3 (lab)");
  EXPECT_EQ(name("redis+unix:///run/redis.sock"), "Redis at /run/redis.sock");
}

TEST(RedisAddress, SaysWhatIsWrongWithoutThePassword) {
  const std::vector<std::pair<std::string, std::string>> wrong{
      {"redis://:s3cret@", "the host is missing"},
      {"redis://:s3cret@host:", "the port is missing"},
      {"redis://:s3cret@host:99999", "a port from 1 to 65535"},
      {"redis://:s3cret@host:0", "a port from 1 to 65535"},
      {"redis://user:s3cret", "a port from 1 to 65535"},  // the host is forgotten
      {"redis://:s3/s3cret@host", "the host is missing"},
      {"redis://:s3?s3cret@host", "the host is missing"},
      {"redis+unix:///redis.sock?password=a&s3cret", "may stand"},
      {"redis+unix:///redis.sock?password=a%@s3cret", "a percent sign"},
      {"redis://:s3cret%@host", "a percent sign in the password"},
      {"redis://:s3cret@host/name", "is not its number"},
      {"redis://:s3cret@[::1]x", "after ']'"},
      {"redis://host?password=s3cret&insecure=1", "may stand"},
      {"redis+unix://run/redis.sock?password=s3cret", "the whole path"},
  };
  for (const auto& [url, what] : wrong) {
    const Result<RedisAddress> address = parse_redis_url(url);
    EXPECT_EQ(code_of(address), ErrorCode::invalid) << url;
    EXPECT_THAT(problem(address), HasSubstr(what));
    EXPECT_THAT(problem(address), Not(HasSubstr("s3cret")));
  }
}

TEST(RedisAddress, TellsItsSecretsAsTheyStandThereAndDecoded) {
  using testing::ElementsAre;
  using testing::IsEmpty;
  EXPECT_THAT(secrets_of("redis://me:a%40b@host:7000/3?prefix=x"), ElementsAre("a%40b", "a@b"));
  EXPECT_THAT(secrets_of("redis+unix:///run/redis.sock?db=2&password=pw"), ElementsAre("pw"));
  for (const char* url : {"", "sqlite", "sqlite:///data/head.db", "redis://host", "redis://me@host", "none"})
    EXPECT_THAT(secrets_of(url), IsEmpty()) << url;
}

TEST(RedisAddress, OfASocketMayHaveAnyPath) {
  const std::string path = "/a%b/c?d";
  EXPECT_EQ(parse_redis_url(redis_socket_url(path, "prefix=p")).value().unix_path, path);
}

}  // namespace
}  // namespace dc::store
