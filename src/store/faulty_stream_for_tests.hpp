// A connection that breaks when the test wants it, and that can pass a Redis off as a later one.
#pragma once

#include <array>
#include <functional>
#include <memory>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "store/redis_lease.hpp"
#include "store/socket_stream.hpp"
#include "store/store_fixture_for_tests.hpp"

namespace dc::store {

struct Faults {
  /// Asked before each step ("write" or "read"); true: the connection breaks instead. What was written before arrives.
  std::function<bool(std::string_view)> breaks = [](std::string_view) { return false; };
  /// True: these bytes stay on their way when the connection breaks, and arrive when the test calls `late`.
  std::function<bool(std::string_view)> delays = [](std::string_view) { return false; };
  std::vector<std::function<void()>> late;
  std::function<void(std::string&)> change_written = [](std::string&) {};
  std::function<void(std::string&)> change_read = [](std::string&) {};
};

class FaultyStream : public ByteStream {
 public:
  FaultyStream(std::unique_ptr<ByteStream> real, Faults& faults) : real_(std::move(real)), faults_(faults) {}

  Result<void> write(std::span<const char> bytes) override {
    if (faults_.breaks("write")) return fail(ErrorCode::unreachable, "broken by the test");
    std::string text(bytes.data(), bytes.size());
    faults_.change_written(text);
    if (faults_.delays(text)) {
      faults_.late.push_back([real = real_, text] {
        std::array<char, 4096> answer{};
        EXPECT_EQ(problem(real->write(text)), "");
        EXPECT_EQ(problem(real->read(answer)), "");  // it was carried out, or not
      });
      delayed_ = true;
      return boost::outcome_v2::success();
    }
    return real_->write(text);
  }
  Result<std::size_t> read(std::span<char> into) override {
    if (delayed_ || faults_.breaks("read")) return fail(ErrorCode::unreachable, "broken by the test");
    BOOST_OUTCOME_TRY(size, real_->read(into));
    std::string text(into.data(), size);
    faults_.change_read(text);
    std::copy(text.begin(), text.end(), into.begin());
    return text.size();
  }

 private:
  std::shared_ptr<ByteStream> real_;  // what is late outlives this
  Faults& faults_;
  bool delayed_ = false;
};

/// Options for a store that reaches the Redis behind `socket` over such connections. Its lease's thread has good ones.
inline RedisOptions faulty_options(const std::string& socket, Faults& faults) {
  RedisOptions options{.address = {}, .content_hash = test_hash};
  options.address.tls = true;  // so that the store asks us for the connection
  options.dial_tls = [socket, &faults, here = std::this_thread::get_id()](
                         const TlsTarget& target) -> Result<std::unique_ptr<ByteStream>> {
    BOOST_OUTCOME_TRY(real, dial_unix(socket, target.timeout));
    if (std::this_thread::get_id() != here) return std::move(real);
    return std::make_unique<FaultyStream>(std::move(real), faults);
  };
  return options;
}

}  // namespace dc::store
