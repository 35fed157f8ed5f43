// Names of processes.
#include "core/process_name.hpp"

#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>

namespace dc {
namespace {

TEST(ProcessName, TellsWhetherTheProcessIsGone) {
  EXPECT_FALSE(process_is_gone(process_name()));
  std::array<int, 2> name{}, end{};
  ASSERT_EQ(::pipe(name.data()) + ::pipe(end.data()), 0);
  const pid_t child = ::fork();
  if (child == 0) {
    const std::string own = process_name();
    char byte = 0;
    const bool told = ::write(name[1], own.data(), own.size()) > 0;
    ::close(end[1]);
    ::_exit(told && ::read(end[0], &byte, 1) == 0 ? 0 : 1);
  }
  std::array<char, 512> text{};
  const ssize_t size = ::read(name[0], text.data(), text.size());
  ASSERT_GT(size, 0);
  const std::string of_child(text.data(), static_cast<std::size_t>(size));
  EXPECT_FALSE(process_is_gone(of_child));
  ::close(end[1]);
  siginfo_t info{};
  ASSERT_EQ(::waitid(P_PID, static_cast<id_t>(child), &info, WEXITED | WNOWAIT), 0);
  EXPECT_TRUE(process_is_gone(of_child)) << "nobody has waited for it, and it does nothing any more";
  ASSERT_EQ(::waitpid(child, nullptr, 0), child);
  EXPECT_TRUE(process_is_gone(of_child));
  for (const int fd : {name[0], name[1], end[0]}) ::close(fd);
}

TEST(ProcessName, SaysNothingOfOtherMachines) {
  EXPECT_FALSE(process_is_gone(""));
  EXPECT_FALSE(process_is_gone("another-kernel/pid:[1]/1/1"));
  const std::string own = process_name();
  EXPECT_FALSE(process_is_gone(own.substr(0, own.rfind('/'))));
  EXPECT_TRUE(process_is_gone(own + "0")) << "a later process has its id now";
}

}  // namespace
}  // namespace dc
