// Real child processes: what they are born with, how they end, and that nothing of them is left.
#include "node/worker_link.hpp"

#include <fmt/format.h>
#include <gtest/gtest.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <cstdlib>
#include <filesystem>

#include "core/sanitizer_pipes_for_tests.hpp"

namespace dc::node {
namespace {

using Lines = std::vector<std::string>;

SpawnOptions shell(const std::string& script) {
  SpawnOptions options;
  options.command = {"/bin/sh", "-c", script};
  return options;
}

/// Runs a worker process on a loop until it has ended, at most ten seconds.
struct Child {
  explicit Child(const SpawnOptions& options, WorkerLink::Output output = {}) {
    auto process = WorkerProcess::spawn(options);
    EXPECT_TRUE(process) << (process ? "" : process.error().message);
    WorkerLink::Handler handler;
    handler.on_printed = [this](std::vector<Printed>&& printed) {
      for (Printed& part : printed) {
        Lines& to = part.stream == OutputStream::out ? lines : errors;
        to.insert(to.end(), part.lines.begin(), part.lines.end());
        left_out += part.left_out;
      }
    };
    handler.on_messages = [this](std::vector<wire::FromWorker>&& got) { messages += got.size(); };
    handler.on_hang_up = [this] { ++hang_ups; };
    handler.on_broken = [this](std::string why) {
      broken = std::move(why);
      link->signal_group(SIGKILL);
    };
    handler.on_end = [this](const ProcessEnd& ended) {
      end = ended;
      ++ends;
      loop.stop();
    };
    link = std::make_unique<WorkerLink>(loop, std::move(process.value()), std::move(handler), std::move(output));
  }
  Child& until_end() {
    const auto deadline = loop.call_at(net::EventLoop::now() + 10s, [this] { loop.stop(); });
    if (link) loop.run();
    return *this;
  }
  net::EventLoop loop;
  std::unique_ptr<WorkerLink> link;
  Lines lines, errors;
  std::uint64_t left_out = 0;
  std::size_t messages = 0;
  int hang_ups = 0, ends = 0;
  std::string broken;
  ProcessEnd end;
};

bool gone(pid_t pid) { return ::kill(pid, 0) != 0; }

bool becomes_gone(pid_t pid) {
  for (int i = 0; i < 200 && !gone(pid); ++i) ::usleep(10'000);
  return gone(pid);
}

TEST(WorkerProcess, IsBornClean) {
  ::setenv("DISTRIBUTED_COMPUTING_PASSWORD", "geheim", 1);
  ::setenv("SOME_COPY", "geheim", 1);
  ::setenv("DISTRIBUTED_COMPUTING_SLOT", "99", 1);
  ::setenv("SOME_URL", "redis://:geheim@host", 1);
  ::setenv("OF_THE_STORE", "xx-st0re-word-xx", 1);
  ::setenv("KEPT", "nothing of it", 1);
  const int leaked = ::dup2(0, 77);  // inheritable
  const auto interrupt = std::signal(SIGINT, SIG_IGN);
  SpawnOptions options = shell(
      "ls -1 /proc/$$/fd; readlink /proc/$$/fd/0; echo slot $DISTRIBUTED_COMPUTING_SLOT; "
      "env | grep -c -e geheim -e st0re; echo $KEPT; "
      // Signals 32 and 33 belong to the C library, which lets nobody change what happens on them.
      "for set in Blk Ign; do echo $set $((0x$(sed -n s/Sig$set:.//p /proc/$$/status) & ~0x180000000)); done; "
      "ps -o pgid= -p $$ | tr -d ' '; echo $$; ulimit -n; echo err >&2");
  options.environment = {"DISTRIBUTED_COMPUTING_SLOT=3"};
  options.secrets = {"geheim", "st0re-word"};
  options.open_files = rlimit{200, 200};
  Child run(options);
  const std::string pid = std::to_string(run.link->process().pid());
  run.until_end();
  ::close(leaked);
  std::signal(SIGINT, interrupt);
  for (const char* name : {"DISTRIBUTED_COMPUTING_PASSWORD", "SOME_COPY", "DISTRIBUTED_COMPUTING_SLOT", "KEPT",
                           "SOME_URL", "OF_THE_STORE"})
    ::unsetenv(name);
  EXPECT_EQ(run.lines, (Lines{"0", "1", "2", "3", "4", "/dev/null", "slot 3", "0", "nothing of it", "Blk 0", "Ign 0",
                              pid, pid, "200"}));
  EXPECT_EQ(run.errors, Lines{"err"});
  EXPECT_EQ(run.end.exit_status, 0);
}

TEST(WorkerProcess, OnlyAWholeValueIsAVeryShortSecret) {
  EXPECT_TRUE(holds_secret("COPY=abc", {"abc"}));
  EXPECT_FALSE(holds_secret("PATH=/abc/bin", {"abc"}));
  EXPECT_TRUE(holds_secret("URL=redis://:123456@host", {"123456"}));
  EXPECT_FALSE(holds_secret("secret-word=x", {"secret-word"}));
  EXPECT_FALSE(holds_secret("EMPTY=", {""}));
  EXPECT_TRUE(holds_secret("DISTRIBUTED_COMPUTING_STORE=sqlite", {}));
}

TEST(WorkerProcess, AProgramThatCannotBeExecutedIsNamed) {
  SpawnOptions options;
  options.command = {"/no/such/python", "-m", "x"};
  EXPECT_EQ(Child(options).until_end().end.spawn_error,
            "/no/such/python cannot be executed (No such file or directory)");
  options.command = {"/etc/passwd"};
  EXPECT_EQ(Child(options).until_end().end.spawn_error, "/etc/passwd cannot be executed (Permission denied)");
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a zombie is left";
}

TEST(WorkerProcess, AnExecThatTakesItsTimeHoldsNobodyUp) {
  std::string path = std::filesystem::temp_directory_path() / "dc-busy-XXXXXX";
  const int fd = ::mkstemp(path.data());  // busy for as long as somebody may write to it
  ASSERT_EQ(::fchmod(fd, 0700), 0);
  ASSERT_EQ(::write(fd, "#!/bin/sh\nexit 3\n", 17), 17);
  SpawnOptions options;
  options.command = {path};
  Child run(options);
  run.loop.post([&] { ::close(fd); });  // the loop turns while the child tries
  EXPECT_EQ(run.until_end().end.exit_status, 3);
  EXPECT_EQ(run.end.spawn_error, "");
  ::unlink(path.c_str());
}

TEST(WorkerProcess, ItsEndIsTold) {
  EXPECT_EQ(Child(shell("exit 7")).until_end().end.exit_status, 7);
  const ProcessEnd killed = Child(shell("echo bye; kill -SEGV $$")).until_end().end;
  EXPECT_EQ(killed.signal, SIGSEGV);
  EXPECT_EQ(killed.exit_status, std::nullopt);
  EXPECT_EQ(killed.last_output, "bye");
}

TEST(WorkerProcess, ChildrenThatItLeavesBehindAreKilled) {
  Child run(shell("sleep 1000 & echo $!"));
  run.until_end();
  ASSERT_EQ(run.lines.size(), 1U);
  EXPECT_TRUE(becomes_gone(std::stoi(run.lines[0])));
}

/// setsid: a session of its own; the parentheses: its parent ends, so that it has another one.
constexpr const char* helpers =
    "setsid sleep 1000 & echo $!; (setsid sh -c 'echo $$; exec env -i sleep 1000' &) ; sleep 0.2; ";

std::vector<pid_t> pids_of(const Lines& lines) {
  std::vector<pid_t> pids;
  for (const std::string& line : lines) pids.push_back(std::stoi(line));
  return pids;
}

TEST(WorkerProcess, WhatItHasStartedInOtherSessionsEndsWithItAndNotBefore) {
  for (const char* how : {"exit 3", "kill -KILL $$"}) {
    Child run(shell(helpers + std::string(how)));
    run.until_end();
    const auto pids = pids_of(run.lines);
    ASSERT_EQ(pids.size(), 2U);
    for (const pid_t pid : pids) EXPECT_TRUE(gone(pid)) << how;
  }
  EXPECT_EQ(::waitpid(-1, nullptr, WNOHANG), -1) << "a zombie is left";
}

TEST(WorkerProcess, ADaemonOfALivingWorkerStaysAndItsZombiesDoNot) {
  Child run(shell(std::string(helpers) + "(true &); (sleep 0.1 &); sleep 0.5; kill -0 $! && echo 1; "
                                         "ps --ppid $PPID -o stat= | grep -c Z"));
  run.until_end();
  ASSERT_EQ(run.lines.size(), 4U) << "the first helper lives";
  EXPECT_EQ(run.lines[2], "1");
  EXPECT_EQ(run.lines[3], "0") << "the warden reaps what others leave behind";
}

TEST(WorkerProcess, WhatItHasStartedEndsWithTheNodeToo) {
  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t node = ::fork();
  if (node == 0) {
    auto process = WorkerProcess::spawn(shell(std::string(helpers) + "exec sleep 1000"));
    std::string text;
    char byte = 0;
    while (std::count(text.begin(), text.end(), '\n') < 2 && ::read(process.value()->output(), &byte, 1) == 1)
      text += byte;
    [[maybe_unused]] const auto written = ::write(pipe[1], text.data(), text.size());
    ::kill(::getpid(), SIGKILL);
  }
  ::close(pipe[1]);
  std::string text(100, '\0');
  text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(pipe[0], text.data(), text.size()))));
  ::waitpid(node, nullptr, 0);
  ::close(pipe[0]);
  const auto middle = text.find('\n');
  ASSERT_NE(middle, text.npos);
  EXPECT_TRUE(becomes_gone(std::stoi(text)));
  EXPECT_TRUE(becomes_gone(std::stoi(text.substr(middle))));
}

TEST(WorkerProcess, WhatACrashLeavesBehindIsReadUpToALimit) {
  EXPECT_EQ(Child(shell("exit 0")).until_end().link->process().crash_text(), "");
  const std::string size = std::to_string(sizeof(wire::Claims));
  Child run(shell("dd if=/dev/zero bs=1 count=0 seek=" + size + " >&4 2>/dev/null; printf 'stack %040000d end' 1 >&4"));
  run.until_end();
  const std::string text = run.link->process().crash_text();
  EXPECT_EQ(text.size(), limits::crash_text_bytes_max);
  EXPECT_TRUE(text.ends_with("1 end"));
}

TEST(WorkerProcess, ItDiesWithTheObjectAndWithTheNode) {
  pid_t pid = 0;
  {
    Child run(shell("trap '' TERM; sleep 1000"));
    pid = run.link->process().pid();
  }
  EXPECT_TRUE(gone(pid));

  std::array<int, 2> pipe{};
  ASSERT_EQ(::pipe(pipe.data()), 0);
  const pid_t node = ::fork();
  if (node == 0) {
    auto process = WorkerProcess::spawn(shell("exec sleep 1000"));
    const pid_t worker = process.value()->pid();
    [[maybe_unused]] const auto written = ::write(pipe[1], &worker, sizeof worker);
    ::kill(::getpid(), SIGKILL);
  }
  ASSERT_EQ(::read(pipe[0], &pid, sizeof pid), static_cast<ssize_t>(sizeof pid));
  ::waitpid(node, nullptr, 0);
  for (int i = 0; i < 200 && std::filesystem::exists(fmt::format("/proc/{}/exe", pid)) && !gone(pid); ++i)
    ::usleep(10'000);
  std::error_code none;
  EXPECT_TRUE(gone(pid) || std::filesystem::read_symlink(fmt::format("/proc/{}/exe", pid), none).empty())
      << "it survived its node";
  ::close(pipe[0]);
  ::close(pipe[1]);
}

TEST(WorkerLink, OutputWithoutEndIsReadInBoundedMemoryUntilTheEnd) {
  Child run(shell("head -c 20000000 /dev/zero | tr '\\0' x; echo; echo last"));
  run.until_end();
  EXPECT_EQ(run.lines.size(), OutputLines::pieces_max + 2);
  EXPECT_EQ(run.lines.back(), "last");
}

TEST(WorkerLink, OfTooManyLinesTheNumberIsTold) {
  WorkerLink::Output output;
  output.pace = std::make_shared<TextPace>(3, 0);
  Child run(shell("seq 100000; echo last"), output);
  run.until_end();
  EXPECT_EQ(run.lines, (Lines{"1", "2", "3"}));
  EXPECT_EQ(run.left_out, 100'001U - 3);
  EXPECT_EQ(run.end.last_output.substr(run.end.last_output.size() - 12), "\n100000\nlast");
}

TEST(WorkerLink, AClosedChannelIsToldOnceAndNoEnd) {
  Child run(shell("exec 3>&-; sleep 0.3; exit 4"));
  run.until_end();
  EXPECT_EQ(run.hang_ups, 1);
  EXPECT_EQ(run.end.exit_status, 4);
}

TEST(WorkerLink, GarbageInTheChannelIsTold) {
  Child run(shell("echo garbage >&3; sleep 1000"));
  run.until_end();
  EXPECT_EQ(run.broken.substr(0, 27), "what it sent cannot be read");
  EXPECT_EQ(run.end.signal, SIGKILL);
  EXPECT_EQ(run.ends, 1);
}

TEST(WorkerLink, MoreThanASocketHoldsIsQueuedAndUpdatesAreAnnouncedOnceTheyAreSent) {
  Child run(shell("sleep 1000"));  // reads nothing
  const wire::Claims& claims = *run.link->process().claims();
  run.link->queue(wire::WorkerUpdate{1, Payload::copy("u")});
  EXPECT_EQ(claims.update_sent.load(), 0U);
  run.link->send();
  EXPECT_EQ(claims.update_sent.load(), 1U);
  for (std::uint64_t i = 0; i < 1000; ++i) run.link->queue(wire::WorkerJob{i, Payload(std::string(60'000, 'x'))});
  run.link->queue(wire::WorkerUpdate{2, Payload::copy("u")});
  run.link->send();
  EXPECT_EQ(claims.update_sent.load(), 1U) << "it is still in the queue";
  run.link->signal_group(SIGKILL);
  run.until_end();
  EXPECT_EQ(run.ends, 1);
  run.link->queue(wire::Stop{});  // too late, and harmless
  run.link->send();
}

/// Whatever the limit is: the node says so, or the child does, or the program runs.
TEST(WorkerProcess, ThatDescriptorsRanOutIsSaidByNameWhereverThatHappens) {
  if (sanitizer_opens_pipes) GTEST_SKIP() << "the sanitizer needs descriptors too";
  rlimit before{};
  ASSERT_EQ(::getrlimit(RLIMIT_NOFILE, &before), 0);
  int here = 0, in_child = 0, ran = 0;
  for (rlim_t few = 12; few <= 128; ++few) {
    const rlimit limit{few, before.rlim_max};
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &limit), 0);
    auto process = WorkerProcess::spawn(shell("exit 7"));
    ASSERT_EQ(::setrlimit(RLIMIT_NOFILE, &before), 0);
    if (!process) {
      EXPECT_NE(process.error().message.find("EMFILE"), std::string::npos) << process.error().message;
      ++here;
      continue;
    }
    const int status = process.value()->reap().exit_status;
    const std::string problem = process.value()->exec_problem();
    (problem.empty() ? ran : in_child) += 1;
    EXPECT_EQ(status, problem.empty() ? 7 : 127);
    EXPECT_EQ(problem.empty(), problem.find("EMFILE") == std::string::npos) << problem;
  }
  EXPECT_GT(here, 0);
  EXPECT_GT(in_child, 0);
  EXPECT_GT(ran, 0);
}

}  // namespace
}  // namespace dc::node
