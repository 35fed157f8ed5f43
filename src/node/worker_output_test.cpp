// Lines out of two streams of bytes, in bounded memory, and whose they are.
#include "node/worker_output.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <gtest/gtest.h>

#include <algorithm>
#include <random>

namespace dc::node {
namespace {

using Lines = std::vector<std::string>;
constexpr std::uint64_t token = 0x1234567890abcdef;

/// Shows what a WorkerOutput makes of what it is fed with: "o: [lines] +left_out" for each piece.
struct Fed {
  explicit Fed(bool only_errors = false) : output(token, only_errors) {}
  Lines feed(std::string_view text, OutputStream stream = OutputStream::out) {
    output.feed(stream, text, room);
    return taken();
  }
  Lines err(std::string_view text) { return feed(text, OutputStream::err); }
  Lines taken() {
    Lines all;
    for (const Printed& part : output.take()) {
      for (const std::string& line : part.lines) all.push_back((part.stream == OutputStream::err ? "!" : "") + line);
      if (part.left_out > 0) all.push_back(fmt::format("+{}", part.left_out));
    }
    return all;
  }
  static std::string mark(wire::JobEnd end, std::uint64_t of = token) {
    const wire::OutputMark mark = wire::output_mark(of, end);
    return {mark.begin(), mark.end()};
  }
  WorkerOutput output;
  std::size_t room = 1000;
};
const std::string well = Fed::mark(wire::JobEnd::well), failed = Fed::mark(wire::JobEnd::failed);

TEST(WorkerOutput, LinesComeWhenTheyAreComplete) {
  Fed output;
  EXPECT_EQ(output.feed("one\ntw"), (Lines{"one"}));
  EXPECT_EQ(output.feed("o\r\n\nthr"), (Lines{"two", ""}));
  output.output.end_lines(output.room);
  EXPECT_EQ(output.taken(), (Lines{"thr"}));
  output.output.end_lines(output.room);
  EXPECT_EQ(output.taken(), Lines{});
  EXPECT_EQ(output.output.tail(), "one\ntwo\n\nthr");
}

TEST(WorkerOutput, EachStreamHasItsOwnLines) {
  Fed output;
  output.output.feed(OutputStream::out, "one\ntw", output.room);
  output.output.feed(OutputStream::err, "bad\n", output.room);
  output.output.feed(OutputStream::out, "o\n", output.room);
  EXPECT_EQ(output.taken(), (Lines{"one", "!bad", "two"})) << "in the order in which they were read";
  EXPECT_EQ(output.output.tail(), "one\nbad\ntwo");
}

TEST(WorkerOutput, OfABarTheLastStateIsShown) {
  Fed output;
  EXPECT_EQ(output.feed("\r  0%\r 50%"), Lines{});
  EXPECT_EQ(output.feed("\r100%"), Lines{});
  EXPECT_EQ(output.feed("\n"), (Lines{"100%"}));
  EXPECT_EQ(output.feed("10%\r20%\r"), Lines{});
  EXPECT_EQ(output.feed("\nnext\n"), (Lines{"20%", "next"}));
  EXPECT_EQ(output.feed("10%\r20%\r" + well), (Lines{"20%"})) << "the job has ended, and the bar with it";
  EXPECT_EQ(output.feed("50%\r     \r" + well), Lines{}) << "it has taken itself away";
  EXPECT_EQ(output.feed("50%\r     \rdone\n"), (Lines{"done"}));
  const std::string long_bar = "\r" + std::string(5000, '#');
  for (int i = 0; i < 1000; ++i) EXPECT_EQ(output.feed(long_bar), Lines{});
  EXPECT_EQ(output.feed("\n"), (Lines{std::string(5000, '#')}));
}

TEST(WorkerOutput, OfABarBelowAnotherTheLastStateIsShown) {
  Fed output;
  Lines lines = output.feed("\router 0/2");
  for (int outer = 1; outer <= 2; ++outer) {
    for (int inner = 0; inner <= 50; ++inner) {
      for (std::string& line : output.feed(fmt::format("\n\rinner {}/50\x1b[A", inner))) lines.push_back(line);
    }
    for (std::string& line : output.feed(fmt::format("\router {}/2", outer))) lines.push_back(line);
  }
  for (std::string& line : output.feed("\n")) lines.push_back(line);
  EXPECT_EQ(lines, (Lines{"outer 0/2", "outer 1/2", "outer 2/2"}));
}

TEST(WorkerOutput, ALineOfTheExactLengthOfAPieceIsOneLine) {
  Fed output;
  const std::string full(limits::output_line_bytes_max, 'x');
  EXPECT_EQ(output.feed(full), Lines{});
  EXPECT_EQ(output.feed("\n"), (Lines{full}));
  EXPECT_EQ(output.feed(full + "y\n"), (Lines{full + " [line continues]", "y"}));
}

TEST(WorkerOutput, AHundredMebibytesWithoutANewlineStayBounded) {
  Fed output;
  Lines lines;
  const std::string block(1 << 20, 'x');
  for (int i = 0; i < 100; ++i) {
    for (std::string& line : output.feed(block)) lines.push_back(std::move(line));
  }
  for (std::string& line : output.feed("\nnext\n")) lines.push_back(std::move(line));
  ASSERT_EQ(lines.size(), OutputLines::pieces_max + 2);
  const std::size_t shown = OutputLines::pieces_max * limits::output_line_bytes_max;
  EXPECT_EQ(lines[OutputLines::pieces_max - 1].size(), limits::output_line_bytes_max + OutputLines::piece_mark.size());
  EXPECT_EQ(lines[OutputLines::pieces_max], fmt::format("[{} bytes of this line were dropped]", (100 << 20) - shown));
  EXPECT_EQ(lines.back(), "next");
}

TEST(WorkerOutput, TheTailKeepsTheLastTwentyShownOrNot) {
  Fed output;
  for (int i = 0; i < 100; ++i) output.feed(fmt::format("{}\n", i));
  EXPECT_EQ(output.output.tail().substr(0, 6), "80\n81\n");
  EXPECT_EQ(output.output.tail().substr(output.output.tail().size() - 3), "\n99");
  output.room = 0;
  std::string many;
  for (int i = 0; i < 100'000; ++i) many += fmt::format("{}\n", i);
  EXPECT_EQ(output.feed(many + "half"), (Lines{"+100000"}));
  output.output.end(true, output.room);
  EXPECT_EQ(output.output.tail().substr(0, 12), "99981\n99982\n");
  EXPECT_EQ(output.output.tail().substr(output.output.tail().size() - 11), "\n99999\nhalf");
}

TEST(WorkerOutput, WhatThereIsNoRoomForIsCountedExactly) {
  Fed output;
  output.room = 3;
  EXPECT_EQ(output.feed("1\n2\n3\n4\n5\n6"), (Lines{"1", "2", "3", "+2"}));
  EXPECT_EQ(output.feed("6\n"), (Lines{"+1"})) << "the second half of a line is no line more";
  output.room = 1;
  EXPECT_EQ(output.feed("7\n" + std::string(20'000, 'x') + "\n8\n"), (Lines{"7", "+2"}));
  EXPECT_EQ(output.feed("9" + well), (Lines{"+1"}));
}

TEST(WorkerOutput, HoweverTheyArriveEveryLineIsShownOrCounted) {
  for (unsigned seed = 0; seed < 300; ++seed) {
    std::mt19937 random(seed);
    const auto below = [&](std::size_t limit) { return static_cast<std::size_t>(random()) % limit; };
    std::string text;
    std::size_t printed = 0;
    for (int i = 0; i < 100; ++i) {
      text.append(below(20), 'x').append(below(3) == 0 ? std::string(1, '\0') : "");
      const bool ends_in_mark = below(5) == 0 && !text.empty() && text.back() == 'x';
      text += ends_in_mark ? well : "\n" + (below(5) == 0 ? well : "");
      ++printed;
    }
    Fed output;
    std::size_t shown = 0, counted = 0;
    for (std::string_view rest = text; !rest.empty();) {
      output.room = below(3) == 0 ? below(4) : 0;
      const std::size_t size = std::min(rest.size(), 1 + below(60));
      output.output.feed(OutputStream::out, rest.substr(0, size), output.room);
      rest.remove_prefix(size);
      for (const Printed& part : output.output.take()) shown += part.lines.size(), counted += part.left_out;
    }
    EXPECT_EQ(shown + counted, printed) << "seed " << seed;
  }
}

TEST(WorkerOutput, TheEndOfAJobEndsItsLine) {
  Fed output;
  EXPECT_EQ(output.feed("dot.dot." + well + "dot." + well), (Lines{"dot.dot.", "dot."}));
  EXPECT_EQ(output.feed("whole\n" + well + well), (Lines{"whole"})) << "and adds none";
  const std::string torn = "dot." + well + "next\n";
  for (const char byte : torn.substr(0, torn.size() - 1)) {
    const Lines some = output.feed(std::string(1, byte));
    EXPECT_TRUE(some.empty() || some == Lines{"dot."}) << "wherever a read ends";
  }
  EXPECT_EQ(output.feed("\n"), (Lines{"next"}));
}

TEST(WorkerOutput, BytesThatOnlyLookLikeAMarkArePrinted) {
  Fed output;
  const std::string of_another = Fed::mark(wire::JobEnd::well, 7);
  EXPECT_EQ(output.feed(of_another + "\n"), (Lines{of_another}));
  EXPECT_EQ(output.feed(well.substr(0, 10)), Lines{});
  EXPECT_EQ(output.feed("x\n"), (Lines{well.substr(0, 10) + "x"}));
  output.feed(well.substr(0, 10));
  output.output.end(false, output.room);
  EXPECT_EQ(output.taken(), (Lines{well.substr(0, 10)}));
}

TEST(WorkerOutput, OfJobsThatFailedEverythingIsShownAndNothingOfOthers) {
  Fed output(true);
  EXPECT_EQ(output.feed("fine\n" + well), Lines{});
  EXPECT_EQ(output.feed("bad\nworse"), Lines{});
  EXPECT_EQ(output.err("Traceback\n"), Lines{});
  EXPECT_EQ(output.feed(failed), (Lines{"bad", "worse"}));
  EXPECT_EQ(output.err(failed), (Lines{"!Traceback"}));
  EXPECT_EQ(output.feed("fine again\n" + well + "last words"), Lines{});
  output.output.end(true, output.room);
  EXPECT_EQ(output.taken(), (Lines{"last words"}));
}

TEST(WorkerOutput, AWorkerThatWasToldToEndHasNotFailed) {
  Fed output(true);
  output.feed("half of a job\n");
  output.output.end(false, output.room);
  EXPECT_EQ(output.taken(), Lines{});
}

TEST(WorkerOutput, OfAFailedJobThatPrintedMuchTheLastIsShownAndTheRestCounted) {
  Fed output(true);
  for (int i = 0; i < 100'000; ++i) output.feed(fmt::format("line {}\n", i));
  output.room = 3;
  EXPECT_EQ(output.feed(failed),
            (Lines{"… 99,997 earlier lines of this job are not shown", "line 99997", "line 99998", "line 99999"}));
  EXPECT_EQ(output.feed("more\n" + failed), (Lines{"+1"})) << "there is no room";
}

TEST(WorkerOutput, WhatIsNoUtf8BecomesReadable) {
  EXPECT_EQ(readable("gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80"),
            "gr\xc3\xbc\xc3\x9f \xe2\x82\xac \xf0\x9f\x98\x80");
  EXPECT_EQ(readable("\xff\xc3(\x80"),
            "?"
            "?(?");
  EXPECT_EQ(readable("\xc0\xaf"), "??") << "overlong";
  EXPECT_EQ(readable("\xed\xa0\x80"), "???") << "surrogate";
  EXPECT_EQ(readable("\xf4\x90\x80\x80"), "????") << "beyond Unicode";
  EXPECT_EQ(readable("a\xe2\x82"), "a??") << "cut off";
}

TEST(WorkerOutput, ACutTearsNoCharacterApart) {
  Fed output;
  const std::string start(limits::output_line_bytes_max - 1, 'x');
  EXPECT_EQ(output.feed(start + "\xc3\xbc!\n"), (Lines{start + " [line continues]", "\xc3\xbc!"}));
}

}  // namespace
}  // namespace dc::node
