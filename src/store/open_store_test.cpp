// Which store a URL names.
#include "store/store_fixture_for_tests.hpp"

namespace dc::store {
namespace {

Result<std::unique_ptr<Store>> open(std::string url) {
  return open_store({.url = std::move(url), .default_path = "/state/head-8899.db", .content_hash = test_hash});
}

TEST(OpenStore, NamesTheStore) {
  EXPECT_EQ(open("").value()->description(), "SQLite (/state/head-8899.db)");
  EXPECT_EQ(open("sqlite").value()->description(), "SQLite (/state/head-8899.db)");
  EXPECT_EQ(open("sqlite:///data/my head.db").value()->description(), "SQLite (/data/my head.db)");
  EXPECT_THAT(open("memory").value()->description(), testing::HasSubstr("memory"));
  EXPECT_EQ(open("none").value(), nullptr);
}

TEST(OpenStore, OnlySqliteIsReadBesideAHead) {
  for (const char* url : {"redis://localhost", "memory", "none"}) {
    const auto snapshot = open_snapshot({.url = url, .default_path = "", .content_hash = test_hash});
    EXPECT_EQ(problem(snapshot), "") << url;
    EXPECT_EQ(snapshot.value(), nullptr) << url;
  }
  const TemporaryDir dir;
  const StoreOptions options{.url = "sqlite", .default_path = dir.file("head.db"), .content_hash = test_hash};
  EXPECT_EQ(code_of(open_snapshot(options)), ErrorCode::not_found);
  const auto head = open_store(options);
  ASSERT_EQ(problem(head.value()->acquire(first_owner)), "");
  ASSERT_EQ(problem(write(*head.value(), {put(1, 1, entry("a"))})), "");
  const auto snapshot = open_snapshot(options);
  ASSERT_EQ(problem(snapshot), "");
  EXPECT_EQ(read_all(*snapshot.value()), (Logs{{1, {entry("a")}}}));
}

TEST(OpenStore, SaysWhatIsWrongWithAUrl) {
  for (const char* url : {"sqlite://relative.db", "sqlite:///", "Memory", "redis"}) {
    const auto opened = open(url);
    EXPECT_EQ(code_of(opened), ErrorCode::invalid) << url;
    EXPECT_THAT(problem(opened), testing::HasSubstr(url));
  }
}

TEST(OpenStore, ShowsNoPasswordOfAUrlThatIsMistyped) {
  for (const char* url :
       {"mysql://me:s3cret@host", "redis:/:s3cret@host", "redis:s3cret@host", "Redis://:s3cret@host"}) {
    const auto opened = open(url);
    EXPECT_EQ(code_of(opened), ErrorCode::invalid) << url;
    EXPECT_THAT(problem(opened),
                testing::AllOf(testing::HasSubstr("not a store"), testing::Not(testing::HasSubstr("s3cret"))));
  }
}

}  // namespace
}  // namespace dc::store
