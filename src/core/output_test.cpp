// Lines for readers who do not read: nobody waits, nothing is lost in normal use, and what is missing is counted.
#include "core/output.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <csignal>
#include <algorithm>
#include <cstdlib>
#include <functional>
#include <stdexcept>
#include <string>

#include "core/check.hpp"
#include "core/fd.hpp"
#include "core/log.hpp"

namespace dc {
namespace {

std::string taken(OutputQueue& queue) { return queue.take(0s).text; }

TEST(OutputQueue, LinesComeInOrderAndCountAsWrittenWhenMoreAreAskedFor) {
  OutputQueue queue;
  queue.push("one\n");
  queue.push_expendable("two\nthree\n", 2);
  EXPECT_EQ(taken(queue), "one\ntwo\nthree\n");
  EXPECT_FALSE(queue.drained());
  EXPECT_EQ(taken(queue), "");
  EXPECT_TRUE(queue.drained());
}

TEST(OutputQueue, OverTheBoundTheOldestGoAndAreCountedWhereTheyAreMissing) {
  OutputQueue queue(1000);
  for (int i = 0; i < 10; ++i) queue.push(std::to_string(i) + std::string(99, 'x') + "\n");
  const std::string text = taken(queue);
  EXPECT_EQ(text.substr(0, text.find('\n')), "[6 lines were dropped because nobody read them]");
  EXPECT_EQ(text.find("6xxx"), text.find('\n') + 1);
}

TEST(OutputQueue, WhatWorkersPrintDoesNotPushOutWhatTheNodeSays) {
  OutputQueue queue(2000);
  queue.push("said\n");
  for (int i = 0; i < 100; ++i) queue.push_expendable(std::string(99, 'x') + "\n", 1);
  queue.push("said later\n");
  const std::string text = taken(queue);
  EXPECT_EQ(text.substr(0, 5), "said\n");
  EXPECT_EQ(text.substr(text.find('[')), "[97 lines were dropped because nobody read them]\nsaid later\n");
}

TEST(OutputQueue, LinesThatCannotBeWrittenAreCounted) {
  OutputQueue queue;
  queue.push("a\nb\n", 2);
  queue.failed(queue.take(0s).lines);
  queue.push("c\n");
  EXPECT_EQ(taken(queue), "[2 lines were dropped because nobody read them]\nc\n");
}

TEST(OutputQueue, WhoDoesNotInsistWaitsOnceForAWriterThatHangs) {
  OutputQueue queue;
  queue.settle();
  queue.push("a\n");
  EXPECT_TRUE(queue.pending());
  const auto waited = [&] {
    const auto start = std::chrono::steady_clock::now();
    queue.settle();
    return std::chrono::steady_clock::now() - start;
  };
  EXPECT_GE(waited(), limits::output_settle_max);
  EXPECT_EQ(taken(queue), "a\n");
  EXPECT_GE(waited(), limits::output_settle_max) << "it has, and is not done";
  EXPECT_EQ(taken(queue), "");
  EXPECT_FALSE(queue.pending());
}

TEST(OutputQueue, ABatchIsOfOneSource) {
  OutputQueue queue;
  queue.push("a\n", 1, "out");
  queue.push("b\n", 1, "out");
  queue.push("c\n", 1, "err");
  OutputQueue::Batch batch = queue.take(0s);
  EXPECT_EQ(batch.source + ": " + batch.text, "out: a\nb\n");
  batch = queue.take(0s);
  EXPECT_EQ(batch.source + ": " + batch.text, "err: c\n");
}

/// Runs `body` in a child whose stderr is a pipe; what came out, and how the child ended.
struct InChild {
  InChild(bool read, const std::function<void()>& body) {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    const pid_t child = ::fork();
    if (child == 0) {
      ::dup2(ends[1], STDERR_FILENO);
      ::close(ends[0]);
      ::close(ends[1]);
      ::alarm(20);  // ends a child that hangs
      body();
      std::exit(0);
    }
    ::close(ends[1]);
    const Fd reader(ends[0]);
    std::array<char, 65536> buffer{};
    if (!read) ::waitpid(child, &status, 0);
    for (ssize_t size = 0; (size = ::read(reader.get(), buffer.data(), buffer.size())) > 0;)
      text.append(buffer.data(), static_cast<std::size_t>(size));
    if (read) ::waitpid(child, &status, 0);
    for (std::size_t at = 0; (at = text.find("==", at)) != std::string::npos;) {  // what a sanitizer says at the end
      const std::size_t end = text.find('\n', at);
      if (at > 0 && text[at - 1] != '\n')
        at += 2;
      else
        text.erase(at, end == std::string::npos ? end : end + 1 - at);
    }
  }
  std::string text;
  int status = 0;
};

TEST(Output, NothingIsLostAtTheEndOfAProcess) {
  constexpr int lines = 20'000;
  const InChild run(true, [] {
    for (int i = 0; i < lines; ++i) output::to_stderr(std::to_string(i) + "\n");
  });
  EXPECT_EQ(run.status, 0);
  EXPECT_EQ(std::count(run.text.begin(), run.text.end(), '\n'), lines);
  EXPECT_EQ(run.text.substr(run.text.size() - 6), "19999\n");
}

TEST(Output, AReaderWhoDoesNotReadHoldsUpNeitherTheWorkNorTheEnd) {
  const InChild run(false, [] {
    for (int i = 0; i < 20'000; ++i) log::warning("{}", std::string(1000, 'x'));  // more than the bound
  });
  EXPECT_EQ(run.status, 0);
  EXPECT_GE(run.text.size(), 30'000U) << "what a pipe takes: 16 pages, more or less full of whole lines";
}

TEST(Output, AReaderWhoIsGoneDoesNoHarm) {
  std::array<int, 2> ends{};
  ASSERT_EQ(::pipe(ends.data()), 0);
  const InChild run(true, [&] {
    ::dup2(ends[1], STDERR_FILENO);
    ::close(ends[0]);
    ::close(ends[1]);
    for (int i = 0; i < 100; ++i) output::to_stderr("x\n");
  });
  ::close(ends[0]);
  ::close(ends[1]);
  EXPECT_EQ(run.status, 0);
}

TEST(Output, AForkedChildWritesItsOwnLinesOnly) {
  const InChild run(true, [] {
    output::to_stderr("parent\n");
    const pid_t child = ::fork();
    if (child == 0) {
      output::to_stderr("child\n");
      std::exit(0);
    }
    ::waitpid(child, nullptr, 0);
  });
  EXPECT_TRUE(run.text == "parent\nchild\n" || run.text == "child\nparent\n") << run.text;
}

TEST(Output, LastWordsComeOutBeforeAnAbort) {
  const auto last_line = [](const std::string& text) { return text.substr(text.rfind('\n', text.size() - 2) + 1); };
  const InChild checked(true, [] {
    log::set_up("head");
    log::info("before");
    DC_CHECK(1 == 2);
  });
  EXPECT_EQ(WTERMSIG(checked.status), SIGABRT);
  EXPECT_NE(checked.text.find("head info: before\n"), std::string::npos);
  EXPECT_THAT(last_line(checked.text),
              testing::MatchesRegex("distributed-computing [0-9.]+ \\(pid [0-9]+\\): bug: CHECK\\(1 == 2\\) failed at "
                                    "src/core/output_test.cpp:[0-9]+; please report this line\n"));
  const InChild aborted(true, [] {
    log::set_up("head");
    log::info("before");
    std::abort();  // as the C library does when the heap is damaged
  });
  EXPECT_EQ(WTERMSIG(aborted.status), SIGABRT);
  EXPECT_NE(aborted.text.find("head info: before\n"), std::string::npos);
  const std::function<void()> throws = [] { throw std::runtime_error("no memory"); };
  const InChild thrown(true, [&]() noexcept {
    log::set_up("head");
    throws();
  });
  EXPECT_THAT(last_line(thrown.text), testing::HasSubstr(": bug: terminated: no memory; please report this line\n"));
}

}  // namespace
}  // namespace dc
