// What an exported file says of itself, and which files are none.
#include "store/export_note.hpp"

#include <filesystem>
#include <fstream>
#include <string>

#include "store/sqlite_fixture_for_tests.hpp"

namespace dc::store {
namespace {

using testing::AllOf;
using testing::HasSubstr;

using ExportNotes = SqliteFixture;

TEST_F(ExportNotes, StandInOneFileThatIsAStoreAsWell) {
  ASSERT_EQ(problem(write(*open(), {put(1, 1, entry("a", {"b"}))})), "");
  const auto none = read_export_note(path_);
  ASSERT_EQ(problem(none), "");
  EXPECT_FALSE(none.value());
  ASSERT_EQ(problem(write_export_note(path_, {"2025-01-31T23:59:59Z", "1.2.3", "KEY\n"})), "");
  EXPECT_EQ(std::distance(std::filesystem::directory_iterator(dir_.path()), {}), 1);
  const auto note = read_export_note(path_);
  ASSERT_EQ(problem(note), "");
  ASSERT_TRUE(note.value());
  EXPECT_EQ(note.value()->made, "2025-01-31T23:59:59Z");
  EXPECT_EQ(note.value()->made_by, "1.2.3");
  EXPECT_EQ(note.value()->head_key, "KEY\n");
  EXPECT_EQ(read_all(*open()), (Logs{{1, {entry("a", {"b"})}}}));
}

TEST_F(ExportNotes, AreOfNoOtherFile) {
  EXPECT_EQ(code_of(read_export_note(path_)), ErrorCode::not_found);
  for (const std::string& content : {std::string(), std::string("text"), std::string(5000, 'x')}) {
    std::ofstream(path_) << content;
    const auto note = read_export_note(path_);
    EXPECT_EQ(code_of(note), ErrorCode::protocol);
    EXPECT_THAT(problem(note), AllOf(HasSubstr(path_), HasSubstr("neither")));
  }
  std::filesystem::remove(path_);
  edit("CREATE TABLE export(format, made, made_by, head_key)");
  EXPECT_THAT(problem(read_export_note(path_)), HasSubstr("neither"));
}

TEST_F(ExportNotes, OfALaterVersionAreLeftAlone) {
  open().reset();
  ASSERT_EQ(problem(write_export_note(path_, {"2025-01-31T23:59:59Z", "9.9"})), "");
  edit("UPDATE export SET format = 2");
  EXPECT_THAT(problem(read_export_note(path_)), HasSubstr("later version (9.9)"));
  edit("DELETE FROM export");
  EXPECT_THAT(problem(read_export_note(path_)), HasSubstr("damaged"));
  edit("PRAGMA user_version=99");
  EXPECT_THAT(problem(read_export_note(path_)), HasSubstr("later version"));
}

}  // namespace
}  // namespace dc::store
