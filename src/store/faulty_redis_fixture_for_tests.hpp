// A test with a store on a real Redis, over connections that do what the test says.
#pragma once

#include <memory>

#include "store/faulty_stream_for_tests.hpp"
#include "store/redis_fixture_for_tests.hpp"
#include "store/redis_store.hpp"

namespace dc::store {

class FaultyRedisFixture : public RedisFixture {
 protected:
  void SetUp() override {
    RedisFixture::SetUp();
    if (!server_) return;
    store_ = std::make_unique<RedisStore>(faulty_options(server_->address().unix_path, faults_));
    ASSERT_EQ(problem(store_->acquire(first_owner)), "");
  }
  /// The store says goodbye to Redis, while what the test put into the faults is still there.
  void TearDown() override { store_.reset(); }

  Faults faults_;
  std::unique_ptr<RedisStore> store_;
};

}  // namespace dc::store
