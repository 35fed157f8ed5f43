// When a memory file is used again, and when not. The system's number of a file tells which one it is.
#include "wire/memory_file.hpp"

#include <fcntl.h>
#include <gtest/gtest.h>
#include <sys/mman.h>
#include <sys/resource.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>
#include <iterator>
#include <string>
#include <vector>

#include "core/limits.hpp"

namespace dc::wire {
namespace {

ino_t number_of(const Payload& file) {
  struct stat status {};
  EXPECT_EQ(::fstat(file.memory_file(), &status), 0);
  return status.st_ino;
}

void fill(const Payload& file, char letter) {
  const std::string text(file.size(), letter);
  write_memory_file(file, 0, std::as_bytes(std::span(text)));
}

/// What a worker does with the descriptor that it gets.
Payload receive(const Payload& file) { return map_memory_file(::dup(file.memory_file())); }

TEST(MemoryFile, IsUsedAgainOnceTheReceiverHasDoneWithIt) {
  constexpr std::size_t size = limits::used_file_bytes_min + 1;  // each test has a size of its own
  Payload sent = make_memory_file(size);
  const ino_t number = number_of(sent);
  fill(sent, 'a');
  Payload received = receive(sent);
  sent = {};
  Payload other = make_memory_file(size);
  EXPECT_NE(number_of(other), number);
  fill(other, 'b');
  EXPECT_EQ(received.view(), std::string(size, 'a'));

  received = {};
  const Payload again = make_memory_file(size);
  EXPECT_EQ(number_of(again), number);
  fill(again, 'c');
  EXPECT_EQ(receive(again).view(), std::string(size, 'c'));
  EXPECT_EQ(again.view(), std::string(size, 'c'));
}

TEST(MemoryFile, IsNotUsedAgainWhileAMappingOfItLives) {
  constexpr std::size_t size = limits::used_file_bytes_min + 2;
  Payload sent = make_memory_file(size);
  const ino_t number = number_of(sent);
  void* mapping = ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, sent.memory_file(), 0);
  ASSERT_NE(mapping, MAP_FAILED);
  sent = {};
  EXPECT_NE(number_of(make_memory_file(size)), number);
  ::munmap(mapping, size);
  const Payload one = make_memory_file(size);
  const Payload two = make_memory_file(size);
  EXPECT_TRUE(number_of(one) == number || number_of(two) == number);
}

TEST(MemoryFile, WhatTheReceiverWroteIsItsOwn) {
  constexpr std::size_t size = limits::used_file_bytes_min + 3;
  const Payload sent = make_memory_file(size);
  fill(sent, 'a');
  const Payload received = receive(sent);
  const_cast<char*>(received.data())[0] = 'x';
  EXPECT_EQ(sent.view()[0], 'a');
  EXPECT_EQ(receive(sent).view()[0], 'a');
}

TEST(MemoryFile, NoMoreThanTheLimitAreKept) {
  constexpr std::size_t size = limits::used_files_bytes_max / 4;
  std::vector<Payload> files;
  std::vector<ino_t> numbers;
  for (int i = 0; i < 6; ++i) {
    files.push_back(make_memory_file(size));
    numbers.push_back(number_of(files.back()));
  }
  for (Payload& file : files) file = {};
  int kept = 0;
  for (Payload& file : files) {
    file = make_memory_file(size);
    kept += static_cast<int>(std::count(numbers.begin(), numbers.end(), number_of(file)));
  }
  EXPECT_EQ(kept, 4);
}

std::size_t mappings_of_this_process() {
  std::ifstream maps("/proc/self/maps");
  return static_cast<std::size_t>(std::count(std::istreambuf_iterator<char>(maps), {}, '\n'));
}

TEST(MemoryFile, ThoseThatAreKeptLeaveMappingsForOthers) {
  std::size_t all = 0;
  std::ifstream("/proc/sys/vm/max_map_count") >> all;
  if (all > 100'000) GTEST_SKIP() << "this system allows " << all << " mappings: not to be used up in a test";
  const Payload sent = memory_file_of(std::as_bytes(std::span("kept")));
  std::vector<Payload> kept;
  for (std::size_t i = 0; i < all / 2; ++i) kept.push_back(receive(sent));
  EXPECT_LT(mappings_of_this_process(), all / 2);
  EXPECT_EQ(kept.front(), sent);
  EXPECT_EQ(kept.back(), sent);
  EXPECT_EQ(kept.back().memory_file(), -1);
}

TEST(MemoryFile, ThereIsOrdinaryMemoryBeyondTheShareOfDescriptors) {
  const pid_t child = ::fork();
  if (child == 0) {
    const rlimit few{64, 64};
    ::setrlimit(RLIMIT_NOFILE, &few);
    std::vector<Assembly> all;
    int files = 0;
    for (int i = 0; i < 200; ++i) {
      all.push_back(make_assembly(limits::inline_payload_max + 1));
      write(all.back(), 5, std::as_bytes(std::span("text")));
      files += all.back().payload.memory_file() >= 0 ? 1 : 0;
      if (all.back().payload.view().substr(5, 4) != "text") ::_exit(99);
    }
    ::_exit(files);
  }
  int status = 0;
  ASSERT_EQ(::waitpid(child, &status, 0), child);
  EXPECT_LE(WEXITSTATUS(status), 16);
  EXPECT_GE(WEXITSTATUS(status), 8);
}

TEST(MemoryFile, SmallAndHugeOnesAreNotKept) {
  for (const std::size_t size : {limits::used_file_bytes_min - 1, limits::used_files_bytes_max + 1}) {
    Payload file = make_memory_file(size);
    const int descriptor = ::dup(file.memory_file());
    struct stat before {};
    ASSERT_EQ(::fstat(descriptor, &before), 0);
    file = {};
    EXPECT_NE(number_of(make_memory_file(size)), before.st_ino);
    ::close(descriptor);
  }
}

}  // namespace
}  // namespace dc::wire
