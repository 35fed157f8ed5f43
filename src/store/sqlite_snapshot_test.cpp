// What is read of a file beside the head that writes it.
#include <filesystem>
#include <fstream>
#include <memory>
#include <string>
#include <utility>

#include "store/sqlite_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

class SqliteSnapshot : public SqliteFixture {
 protected:
  std::unique_ptr<SqliteStore> unopened() {
    return std::make_unique<SqliteStore>(SqliteOptions{.path = path_, .content_hash = test_hash});
  }
  std::unique_ptr<SqliteStore> snapshot() {
    auto store = unopened();
    EXPECT_EQ(problem(store->take_snapshot()), "");
    return store;
  }
};

TEST_F(SqliteSnapshot, IsOneStateHoweverMuchIsWrittenMeanwhile) {
  const auto head = open();
  const std::string large(300'000, 'x');
  ASSERT_EQ(problem(write(*head, {put(1, 1, entry("a")), put(1, 2, entry("b", {large})), put(2, 1, entry("c"))})), "");
  const Logs before = read_all(*head);
  const auto seen = snapshot();
  ASSERT_EQ(problem(write(*head, {erase(1, 2), put(1, 3, entry("d")), put(3, 1, entry("e"))})), "");
  ASSERT_EQ(problem(head->remove(2)), "");
  tidy(*head);
  for (EntryNumber number = 10; number < 40; ++number) {  // more than SQLite leaves in the write-ahead file
    ASSERT_EQ(problem(write(*head, {put(1, number, entry("f", {std::to_string(number) + large}))})), "");
  }
  EXPECT_EQ(read_all(*seen), before);
  EXPECT_EQ(read_all(*snapshot()), read_all(*head));
  ASSERT_EQ(problem(head->check_hold()), "");
}

TEST_F(SqliteSnapshot, TakesNothingFromAHeadThatComesOrGoesAndWritesNothing) {
  ASSERT_EQ(problem(write(*open(), {put(1, 1, entry("a"))})), "");
  {
    const auto seen = snapshot();
    const auto head = open();
    ASSERT_EQ(problem(write(*head, {put(1, 2, entry("b"))})), "");
    EXPECT_EQ(read_all(*seen), (Logs{{1, {entry("a")}}}));
    EXPECT_FALSE(write(*seen, {put(1, 2, entry("c"))}));
    EXPECT_FALSE(seen->remove(1));
  }
  EXPECT_EQ(read_all(*snapshot()), (Logs{{1, {entry("a"), entry("b")}}}));
}

TEST_F(SqliteSnapshot, IsOfNoOtherFile) {
  EXPECT_EQ(code_of(unopened()->take_snapshot()), ErrorCode::not_found);
  EXPECT_FALSE(std::filesystem::exists(path_));
  edit("CREATE TABLE mine(a)");
  EXPECT_THAT(problem(unopened()->take_snapshot()), HasSubstr("database of another program"));
  std::filesystem::remove(path_);
  open().reset();
  edit("PRAGMA user_version=1");
  EXPECT_THAT(problem(unopened()->take_snapshot()), AllOf(HasSubstr("earlier version"), HasSubstr("start a head")));
  edit("PRAGMA user_version=99");
  EXPECT_THAT(problem(unopened()->take_snapshot()), HasSubstr("has version 99"));
  std::ofstream(path_) << std::string(5000, 'x');
  EXPECT_EQ(code_of(unopened()->take_snapshot()), ErrorCode::protocol);
}

}  // namespace
}  // namespace dc::store
