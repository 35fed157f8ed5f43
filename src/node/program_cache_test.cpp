// Executables on this machine: kept by content, refused when they cannot run here.
#include "node/program_cache.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <stdlib.h>
#include <unistd.h>

#include <filesystem>
#include <fstream>
#include <sstream>

#include "net/session.hpp"

namespace dc::node {
namespace {

using testing::HasSubstr;

class ProgramCacheTest : public testing::Test {
 protected:
  ProgramCacheTest() {
    std::string name = testing::TempDir() + "/dc-programs-XXXXXX";
    dir = ::mkdtemp(name.data());
    std::ifstream self("/proc/self/exe", std::ios::binary);
    std::stringstream text;
    text << self.rdbuf();
    program = text.str();
  }
  ~ProgramCacheTest() override { std::filesystem::remove_all(dir); }
  std::string store(const std::string& bytes) {
    return ProgramCache(dir + "/programs")
        .store(net::content_hash(std::as_bytes(std::span(bytes))), Payload::copy(bytes));
  }
  std::string dir, program;
};

TEST_F(ProgramCacheTest, AProgramIsKeptAndCanBeExecuted) {
  EXPECT_EQ(store(program), "");
  const ProgramCache cache(dir + "/programs");
  ASSERT_EQ(cache.list().size(), 1U);
  EXPECT_EQ(::access(cache.path(*cache.list().begin()).c_str(), X_OK), 0);
}

TEST_F(ProgramCacheTest, AnotherArchitectureIsNamed) {
  program[18] = static_cast<char>(program[18] == '\x3e' ? '\xb7' : '\x3e');
  EXPECT_THAT(store(program), testing::AllOf(HasSubstr("x86-64"), HasSubstr("aarch64")));
  EXPECT_THAT(store("#!/bin/sh\n" + std::string(100, ' ')), HasSubstr("no ELF executable"));
}

TEST_F(ProgramCacheTest, DamageIsNoticed) {
  EXPECT_THAT(ProgramCache(dir).store(std::string(64, 'a'), Payload::copy(program)), HasSubstr("damaged"));
}

}  // namespace
}  // namespace dc::node
