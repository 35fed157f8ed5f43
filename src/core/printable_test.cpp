// What a stranger, or a pool's label, could do to a terminal.
#include "core/printable.hpp"

#include <gtest/gtest.h>

namespace dc {
namespace {

TEST(Printable, KeepsWhatPeopleWrite) {
  for (const char* text : {"", "Trainer", "Müller's “größtes” Modell", "実験 42", "نموذج", "🚀 run", "a\u200db"}) {
    EXPECT_EQ(printable(text), text);
  }
}

TEST(Printable, TakesOutCommandsAndMarks) {
  EXPECT_EQ(printable("a\x1b[2Jb\x07"), "a?[2Jb?");
  EXPECT_EQ(printable("one\ntwo\tthree\r"), "one two three ");
  EXPECT_EQ(printable("a\u009b2Jb"), "a?2Jb") << "a control sequence introducer in two bytes";
  EXPECT_EQ(printable("\u202egnp.exe\u202c"), "?gnp.exe?") << "written backwards";
  EXPECT_EQ(printable("\u2066x\u2069\u061c\u200f\ufeff\u2028"), "?x?????");
  EXPECT_EQ(printable(std::string_view("a\0b\x7f", 4)), "a?b?");
}

TEST(Printable, MakesValidUtf8OfAnything) {
  EXPECT_EQ(printable("\xff\xfe"), "??");
  EXPECT_EQ(printable("a\x9b"), "a?") << "the same command in one byte";
  EXPECT_EQ(printable("\xc0\xaf \xe0\x80\xaf"), "?? ???") << "longer than need be";
  EXPECT_EQ(printable("\xed\xa0\x80"), "???") << "half a pair of UTF-16";
  EXPECT_EQ(printable("\xf4\x90\x80\x80"), "????") << "beyond Unicode";
  EXPECT_EQ(printable("\xe2\x82"), "??") << "cut";
}

TEST(Printable, IsBounded) {
  EXPECT_EQ(printable("12345", 5), "12345");
  EXPECT_EQ(printable("1234567", 6), "123…");
  EXPECT_EQ(printable("ääää", 7), "ää…") << "between characters";
  EXPECT_LE(printable(std::string(1 << 20, 'x')).size(), limits::shown_text_bytes_max);
  EXPECT_EQ(printable("\xff\xff\xff\xff\xff", 4), "?…");
}

TEST(Printable, LinesStayLinesAndPassForNoOther) {
  EXPECT_EQ(printable_lines("one", 100), "one");
  EXPECT_EQ(printable_lines("one\n  two\x1b[2J\n\nhead: forged\r\n", 100), "one\n    two?[2J\n  \n  head: forged \n  ");
  const std::string large = printable_lines("first\n" + std::string(1 << 20, 'x') + "\nlast", 1000);
  EXPECT_LE(large.size(), 1100U);
  EXPECT_TRUE(large.starts_with("first\n") && large.ends_with("\n  last")) << large;
}

}  // namespace
}  // namespace dc
