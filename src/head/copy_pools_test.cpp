// Named pools are copied from store to store: all that were asked for or none, and never over another one.
#include "head/copy_pools.hpp"

#include <fmt/format.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <memory>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "head/journal.hpp"
#include "net/session.hpp"
#include "store/memory_store.hpp"

namespace dc::head {
namespace {

using testing::AllOf;
using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;

const store::GoOn never_ends = [] { return Result<void>(boost::outcome_v2::success()); };

/// A store with pools in it.
class Kept : public store::MemoryStore {
 public:
  explicit Kept(std::shared_ptr<store::MemoryDisk> disk = std::make_shared<store::MemoryDisk>())
      : MemoryStore(disk), disk(std::move(disk)) {
    EXPECT_TRUE(acquire({"north", 1}));
  }
  void put_pool(const std::string& name, const std::string& spec = "class") {
    put(name, 1, encode(PoolBorn{2, name, {}, Payload(spec), {}, 5, PoolId{7}}));
    put(name, 2, encode(JobsTaken{{{1, 0, Payload(std::string(100'000, 'x')), {}}}}));
  }
  void put(const std::string& name, store::EntryNumber number, std::optional<store::Entry> entry) {
    store::Change change{net::log_of_pool(name), number, std::move(entry)};
    EXPECT_TRUE(write({&change, 1}));
  }
  [[nodiscard]] std::vector<std::string> names() {
    std::vector<std::string> found;
    const auto all = logs();
    for (const store::LogId log : all.value()) found.push_back(name_in(store::first_entry(*this, log).value().bytes));
    std::sort(found.begin(), found.end());
    return found;
  }

  std::shared_ptr<store::MemoryDisk> disk;
};

std::string copied(Kept& from, Kept& to, const PoolsToCopy& wanted, const store::GoOn& go_on = never_ends) {
  const auto done = copy_pools(from, to, wanted, go_on);
  if (!done) return fmt::format("error {}: {}", static_cast<int>(done.error().code), done.error().message);
  std::string text;
  for (const CopiedPool& pool : done.value())
    text += fmt::format("{} {} {};", pool.name, pool.log.entries, pool.stood ? "stood" : "came");
  return text;
}

auto refused(ErrorCode code, const std::string& part) {
  return AllOf(testing::StartsWith(fmt::format("error {}: ", static_cast<int>(code))), HasSubstr(part));
}

TEST(CopyPools, AllOrThoseThatAreNamedAreCopied) {
  Kept from, some, all;
  for (const char* name : {"c", "a", "b"}) from.put_pool(name);
  EXPECT_EQ(copied(from, some, {.names = {"c", "a", "c"}}), "a 2 came;c 2 came;");
  EXPECT_THAT(some.names(), ElementsAre("a", "c"));
  EXPECT_EQ(copied(from, all, {}), "a 2 came;b 2 came;c 2 came;");
  EXPECT_EQ(all.disk->logs, from.disk->logs);
  EXPECT_EQ(copied(some, all, {.names = {"a"}}), "a 0 stood;");
  Kept nothing;
  EXPECT_EQ(copied(nothing, all, {}), "");
}

TEST(CopyPools, APoolWithANewNameIsAPoolOfItsOwn) {
  Kept from, to;
  from.put_pool("old", std::string(100'000, 's'));
  to.put_pool("old", "of another class");
  EXPECT_EQ(copied(from, to, {.names = {"old"}, .as = "new", .new_id = PoolId{99}}), "new 2 came;");
  EXPECT_THAT(to.names(), ElementsAre("new", "old"));
  auto first = store::first_entry(to, net::log_of_pool("new"));
  const auto decoded = decode(std::move(first.value()));
  const auto& born = std::get<PoolBorn>(decoded.value());
  EXPECT_EQ(born.name, "new");
  EXPECT_EQ(born.id, PoolId{99});
  EXPECT_EQ(born.client, 5U);
  EXPECT_EQ(born.spec.view(), std::string(100'000, 's'));
  EXPECT_EQ(to.disk->logs[net::log_of_pool("new")][2], from.disk->logs[net::log_of_pool("old")][2]);

  EXPECT_THAT(copied(from, to, {.as = "new"}), refused(ErrorCode::rejected, "another pool named 'new'"));
  EXPECT_THAT(copied(from, to, {.as = "new\n"}), refused(ErrorCode::invalid, "control characters"));
  from.put_pool("second");
  EXPECT_THAT(copied(from, to, {.as = "one"}), refused(ErrorCode::invalid, "these are 2"));
}

TEST(CopyPools, NothingIsCopiedWhenOneIsThereAsAnother) {
  Kept from, to;
  from.put_pool("a");
  from.put_pool("b");
  to.put_pool("b", "of another class");
  const auto before = to.disk->logs;
  EXPECT_THAT(copied(from, to, {}), refused(ErrorCode::rejected, "another pool named 'b'"));
  EXPECT_EQ(to.disk->logs, before);
  EXPECT_THAT(copied(from, to, {.names = {"a", "z"}}), refused(ErrorCode::not_found, "no pool named 'z'"));
  EXPECT_EQ(to.disk->logs, before);
}

TEST(CopyPools, WhatIsBrokenIsNamedAndNotCopied) {
  Kept from, to;
  from.put_pool("a");
  from.put("headless", 2, encode(Delivered{{1}}));
  EXPECT_THAT(copied(from, to, {}),
              refused(ErrorCode::protocol, fmt::format("pool '{:016x}'", net::log_of_pool("headless"))));
  EXPECT_THAT(copied(from, to, {.names = {"headless"}}),
              refused(ErrorCode::protocol, "pool 'headless' is damaged, and nothing was copied: its first entry is "));
  from.put("headless", 1, store::Entry{"rubbish", {}});
  EXPECT_THAT(copied(from, to, {.names = {"headless"}}), refused(ErrorCode::protocol, "cannot be read"));
  from.put("headless", 1, encode(PoolBorn{2, "stranger", {}, {}, {}, 0, PoolId{7}}));
  EXPECT_THAT(copied(from, to, {.names = {"headless"}}), refused(ErrorCode::protocol, "in the place of another pool"));
  EXPECT_THAT(to.names(), IsEmpty());
  EXPECT_EQ(copied(from, to, {.names = {"a"}}), "a 2 came;");
}

TEST(CopyPools, WhatWasCopiedGoesAgainWhenALaterOneFails) {
  Kept from, to;
  for (const char* name : {"a", "b", "c"}) from.put_pool(name);
  to.put_pool("a");
  to.disk->bytes_max = 250'000;  // for one more
  const auto before = to.disk->logs;
  EXPECT_THAT(copied(from, to, {}), refused(ErrorCode::full, "pool 'c' was not copied, nor any other"));
  EXPECT_EQ(to.disk->logs, before);

  Kept other;
  int asked = 0;
  const store::GoOn ends = [&]() -> Result<void> {
    if (++asked < 5) return boost::outcome_v2::success();
    return fail(ErrorCode::left, "a signal came");
  };
  EXPECT_THAT(copied(from, other, {}, ends), refused(ErrorCode::left, "a signal came"));
  EXPECT_THAT(other.names(), IsEmpty());
}

}  // namespace
}  // namespace dc::head
