// The contract of store.hpp, kept by every implementation.
#include "store/store_conformance_for_tests.hpp"

#include "store/memory_store.hpp"
#include "store/redis_fixture_for_tests.hpp"
#include "store/redis_store.hpp"
#include "store/sqlite_store.hpp"

namespace dc::store {
namespace {

class MemoryWorld : public World {
 public:
  std::unique_ptr<Store> open() override { return std::make_unique<MemoryStore>(disk_); }

 private:
  std::shared_ptr<MemoryDisk> disk_ = std::make_shared<MemoryDisk>();
};

class SqliteWorld : public World {
 public:
  explicit SqliteWorld(Durability durability) : durability_(durability) {}
  std::unique_ptr<Store> open() override {
    return std::make_unique<SqliteStore>(
        SqliteOptions{.path = dir_.file("head.db"), .durability = durability_, .content_hash = test_hash});
  }

 private:
  Durability durability_;
  TemporaryDir dir_;
};

class RedisWorld : public World {
 public:
  [[nodiscard]] std::string missing() const override {
    return RedisServer::program().empty() ? "redis-server is not installed" : "";
  }
  std::unique_ptr<Store> open() override {
    return std::make_unique<RedisStore>(RedisOptions{.address = server_.address(), .content_hash = test_hash});
  }

 private:
  RedisServer server_;
};

INSTANTIATE_TEST_SUITE_P(Memory, StoreConformance, testing::Values([] { return std::make_unique<MemoryWorld>(); }));
INSTANTIATE_TEST_SUITE_P(Sqlite, StoreConformance,
                         testing::Values([] { return std::make_unique<SqliteWorld>(Durability::always); }));
INSTANTIATE_TEST_SUITE_P(SqliteInterval, StoreConformance,
                         testing::Values([] { return std::make_unique<SqliteWorld>(Durability::interval); }));

INSTANTIATE_TEST_SUITE_P(Redis, StoreConformance, testing::Values([] { return std::make_unique<RedisWorld>(); }));

}  // namespace
}  // namespace dc::store
