// What earlier versions wrote into a journal is read.
#include <gtest/gtest.h>

#include <sstream>

#include "wire/adaptors.hpp"

namespace dc::wire {
namespace {

template <class T>
ForwardOutput read_as_forward_output(const T& written) {
  std::stringstream stream;
  msgpack::pack(stream, written);
  const std::string bytes = stream.str();
  return msgpack::unpack(bytes.data(), bytes.size()).get().as<ForwardOutput>();
}

TEST(EarlierOptions, OutputThatWasForwardedOrNot) {
  EXPECT_EQ(read_as_forward_output(true), ForwardOutput::all);
  EXPECT_EQ(read_as_forward_output(false), ForwardOutput::none);
  EXPECT_EQ(read_as_forward_output(ForwardOutput::errors), ForwardOutput::errors);
  EXPECT_THROW(read_as_forward_output(3), msgpack::type_error);
  EXPECT_THROW(read_as_forward_output("all"), msgpack::type_error);
}

}  // namespace
}  // namespace dc::wire
