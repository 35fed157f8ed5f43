// Programs arrive whole, for this machine, and not without bound.
#include "node/program_cache.hpp"

#include <elf.h>
#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/stat.h>

#include <csignal>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <functional>
#include <iterator>

#include "net/session.hpp"

namespace dc::node {
namespace {

namespace fs = std::filesystem;

class ProgramCacheBounds : public testing::Test {
 protected:
  ProgramCacheBounds() {
    std::string name = (fs::temp_directory_path() / "dc-programs-XXXXXX").string();
    dir_ = ::mkdtemp(name.data());
  }
  ~ProgramCacheBounds() override { fs::remove_all(dir_); }

  /// This very test program is a program for this machine; `suffix` makes different ones of it.
  static Payload program(const std::string& suffix = "") {
    std::ifstream file("/proc/self/exe", std::ios::binary);
    std::string start(sizeof(Elf64_Ehdr), '\0');
    file.read(start.data(), static_cast<std::streamsize>(start.size()));
    return Payload(start + suffix);
  }
  static std::string hash(const Payload& program) { return net::content_hash(program.bytes()); }

  fs::path dir_;
};

TEST_F(ProgramCacheBounds, AStoredProgramIsListedAndExecutable) {
  ProgramCache cache((dir_ / "programs").string());
  EXPECT_EQ(cache.list(), std::set<std::string>{});
  const Payload elf = program();
  EXPECT_FALSE(cache.use(hash(elf)));
  EXPECT_EQ(cache.store(hash(elf), elf), "");
  EXPECT_EQ(cache.list(), std::set<std::string>{hash(elf)});
  EXPECT_TRUE(cache.use(hash(elf)));
  struct stat status {};
  ASSERT_EQ(::stat(cache.path(hash(elf)).c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0500U);
  EXPECT_EQ(status.st_size, static_cast<off_t>(elf.size()));
  EXPECT_EQ(cache.store(hash(elf), elf), "") << "two nodes may store it at once";
}

/// One that a power failure has cut or emptied, or whose bytes were changed.
TEST_F(ProgramCacheBounds, ADamagedProgramIsFoundAtItsFirstUseAndRemoved) {
  const Payload elf = program(std::string(100'000, 'x'));
  const std::string name = hash(elf);
  const auto damaged = [&](const std::function<void(const std::string& path)>& damage) {
    EXPECT_EQ(ProgramCache(dir_.string()).store(name, elf), "");
    ProgramCache later(dir_.string());
    fs::permissions(later.path(name), fs::perms::owner_all);
    damage(later.path(name));
    EXPECT_FALSE(later.use(name)) << "nothing of an earlier life is executed unchecked";
    EXPECT_FALSE(later.check(name));
    EXPECT_EQ(later.list(), std::set<std::string>{});
    EXPECT_EQ(later.store(name, elf), "") << "and fetched again";
    EXPECT_TRUE(later.use(name));
  };
  damaged([](const std::string& path) { fs::resize_file(path, 0); });
  damaged([](const std::string& path) { fs::resize_file(path, 5000); });
  damaged([](const std::string& path) { std::fstream(path, std::ios::in | std::ios::out).seekp(500).put('y'); });
  damaged([](const std::string& path) { fs::permissions(path, fs::perms::owner_read); });
  damaged([](const std::string& path) { fs::remove(path); });
  ProgramCache sound(dir_.string());
  EXPECT_TRUE(sound.check(name));
  EXPECT_TRUE(sound.use(name));
  fs::permissions(sound.path(name), fs::perms::owner_all);
  fs::resize_file(sound.path(name), 5000);
  EXPECT_FALSE(sound.use(name)) << "while the node lives";
}

TEST_F(ProgramCacheBounds, DamagedContentAndOddNamesAreRefused) {
  ProgramCache cache(dir_.string());
  EXPECT_NE(cache.store(std::string(64, 'a'), program()).find("damaged"), std::string::npos);
  EXPECT_NE(cache.store("../../evil", program()).find("damaged"), std::string::npos);
  EXPECT_FALSE(cache.use("../../../bin/sh"));
  EXPECT_EQ(cache.list(), std::set<std::string>{});
}

TEST_F(ProgramCacheBounds, AProgramForAnotherMachineNamesBothArchitectures) {
  ProgramCache cache(dir_.string());
  std::string foreign(program().view());
  Elf64_Ehdr header{};
  std::memcpy(&header, foreign.data(), sizeof header);
  header.e_machine = header.e_machine == EM_AARCH64 ? EM_X86_64 : EM_AARCH64;
  std::memcpy(foreign.data(), &header, sizeof header);
  const Payload payload(foreign);
  const std::string problem = cache.store(hash(payload), payload);
  EXPECT_NE(problem.find("aarch64"), std::string::npos) << problem;
  EXPECT_NE(problem.find("x86-64"), std::string::npos) << problem;
  const Payload script(std::string("#!/bin/sh\n") + std::string(100, ' '));
  EXPECT_NE(cache.store(hash(script), script).find("no ELF executable"), std::string::npos);
}

TEST_F(ProgramCacheBounds, TheProgramsThatWereNotUsedForLongestGo) {
  ProgramCache cache(dir_.string());
  std::vector<std::string> hashes;
  for (int i = 0; i < 16; ++i) {
    const Payload elf = program(fmt::format("{}", i));
    hashes.push_back(hash(elf));
    ASSERT_EQ(cache.store(hashes.back(), elf), "");
    const auto age = std::chrono::hours(100 - i);
    fs::last_write_time(cache.path(hashes.back()), fs::file_time_type::clock::now() - age);
  }
  ASSERT_TRUE(cache.use(hashes[0]));  // the oldest, but in use
  const Payload one_more = program("more");
  ASSERT_EQ(cache.store(hash(one_more), one_more), "");
  std::set<std::string> expected(hashes.begin(), hashes.end());
  expected.erase(hashes[1]);
  expected.insert(hash(one_more));
  EXPECT_EQ(cache.list(), expected);
}

TEST_F(ProgramCacheBounds, ADirectoryThatCannotBeWrittenIsNamed) {
  std::ofstream(dir_ / "file") << "in the way";
  ProgramCache cache((dir_ / "file" / "programs").string());
  const Payload elf = program();
  EXPECT_NE(cache.store(hash(elf), elf).find((dir_ / "file").string()), std::string::npos);
}

TEST_F(ProgramCacheBounds, AWriteThatFailsIsTheReasonGivenAndLeavesNothingBehind) {
  // A limit on the size of files stands in for a full disk: the write fails half-way, too.
  std::signal(SIGXFSZ, SIG_IGN);
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_FSIZE, &before), 0);
  const rlimit small{64 << 10, before.rlim_max};
  ProgramCache cache((dir_ / "programs").string());
  const Payload elf = program(std::string(1 << 20, 'x'));
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &small), 0);
  const std::string problem = cache.store(hash(elf), elf);
  ASSERT_EQ(::setrlimit(RLIMIT_FSIZE, &before), 0);
  EXPECT_NE(problem.find("(File too large)"), std::string::npos) << problem;
  EXPECT_NE(problem.find((dir_ / "programs").string()), std::string::npos) << problem;
  EXPECT_TRUE(fs::is_empty(dir_ / "programs"));
}

}  // namespace
}  // namespace dc::node
