// A struct that has got new fields reads what an earlier version has written.
#include <gtest/gtest.h>

#include "wire/codec.hpp"

namespace dc::wire {
namespace {

/// Options of a pool, as an array of the first `count` fields (and nothing behind the last).
std::string options_with(std::size_t count) {
  PoolOptions options;
  options.gpus_per_worker = 2;
  options.environment = {"A=1"};
  options.threads_per_worker = 3;
  std::string all;
  StringSink whole{all};
  msgpack::pack(whole, options);
  const auto unpacked = msgpack::unpack(all.data(), all.size());
  std::string text;
  StringSink sink{text};
  msgpack::packer<StringSink> packer(sink);
  packer.pack_array(static_cast<std::uint32_t>(count));
  for (std::size_t i = 0; i < count; ++i) {
    if (i < unpacked->via.array.size)
      packer.pack(unpacked->via.array.ptr[i]);
    else
      packer.pack_nil();
  }
  return text;
}

PoolOptions read(const std::string& text) {
  const auto unpacked = msgpack::unpack(text.data(), text.size());
  return unpacked->as<PoolOptions>();
}

TEST(OlderFields, OfAPoolsOptionsAreRead) {
  const PoolOptions older = read(options_with(16));
  EXPECT_EQ(older.gpus_per_worker, 2U);
  EXPECT_TRUE(older.environment.empty());
  EXPECT_EQ(older.threads_per_worker, 0U);
  EXPECT_EQ(read(options_with(18)).environment, std::vector<std::string>{"A=1"});
  EXPECT_EQ(read(options_with(18)).threads_per_worker, 3U);
}

TEST(OlderFields, ButNoFewerThanThereEverWereAndNoMoreThanAreKnown) {
  EXPECT_THROW(read(options_with(15)), msgpack::type_error);
  EXPECT_THROW(read(options_with(19)), msgpack::type_error);
}

}  // namespace
}  // namespace dc::wire
