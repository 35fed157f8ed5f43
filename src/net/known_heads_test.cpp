// The file of keys that heads had before, and who counts as the same head.
#include "net/known_heads.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <sys/stat.h>
#include <unistd.h>

#include <fstream>
#include <sstream>

#include "core/output.hpp"
#include "net/session_fixture_for_tests.hpp"

namespace dc::net {
namespace {

using ::testing::HasSubstr;

const std::string key_a = "sha256:" + std::string(43, 'A');
const std::string key_b = "sha256:" + std::string(43, 'B');

class KnownHeadsFile : public ::testing::Test {
 protected:
  void write(const std::string& text) { std::ofstream(file) << text; }
  std::string text() {
    std::ostringstream all;
    all << std::ifstream(file).rdbuf();
    return all.str();
  }
  /// The key of a head, "new", or why the file cannot be used.
  std::string known(const std::string& host, std::uint16_t port = 8899) {
    const auto heads = KnownHeads::read(file);
    if (!heads) return heads.error().message;
    const auto* entry = heads.value().find(host, port);
    return entry ? entry->fingerprint : "new";
  }
  TemporaryDir dir;
  std::string file = dir.file("state/known_heads");
  void SetUp() override { mkdir(dir.file("state").c_str(), 0700); }
};

TEST(SameHead, HasOneName) {
  for (const char* host : {"localhost", "LocalHost", "localhost.", "127.0.0.1", "127.1", "::1", "0:0:0:0:0:0:0:1",
                           "::ffff:127.0.0.1", "0.0.0.0", "::"}) {
    EXPECT_EQ(same_head_name(host, 8899), "localhost:8899") << host;
  }
  EXPECT_EQ(same_head_name("GPU1.Example.org.", 8900), "gpu1.example.org:8900");
  EXPECT_EQ(same_head_name("FE80::0:2", 8899), "[fe80::2]:8899");
  EXPECT_EQ(same_head_name("::ffff:10.0.0.5", 8899), "10.0.0.5:8899");
  EXPECT_EQ(same_head_name("127.0.0.2", 8899), "127.0.0.2:8899") << "another head may listen there";
  EXPECT_NE(same_head_name("gpu1", 8899), same_head_name("gpu1.example.org", 8899)) << "only a name service could tell";
  EXPECT_NE(same_head_name("gpu1", 8899), same_head_name("gpu1", 8900));
}

TEST_F(KnownHeadsFile, ThatIsMissingKnowsNobody) { EXPECT_EQ(known("localhost"), "new"); }

TEST_F(KnownHeadsFile, OfAnOlderVersionKeepsWorking) {
  write("127.0.0.1:8899 " + key_a + "\nGpu1:8899 " + key_b + "\nlocalhost:8899 " + key_b + "\n[::1]:8900 " + key_a +
        "\n");
  EXPECT_EQ(known("127.0.0.1"), key_a);
  EXPECT_EQ(known("localhost"), key_b) << "the line with just this name comes first";
  EXPECT_EQ(known("::1"), key_a) << "else the first that means the same";
  EXPECT_EQ(known("gpu1."), key_b);
  EXPECT_EQ(known("localhost", 8900), key_a);
  EXPECT_EQ(known("gpu2"), "new");
}

TEST_F(KnownHeadsFile, GetsWholeLinesOnly) {
  ASSERT_TRUE(remember_head(file, "127.0.0.1", 8899, key_a));
  ASSERT_TRUE(remember_head(file, "GPU1", 8900, key_b));
  EXPECT_EQ(text(), "localhost:8899 " + key_a + "\ngpu1:8900 " + key_b + "\n");
  struct stat status {};
  ASSERT_EQ(stat(file.c_str(), &status), 0);
  EXPECT_EQ(status.st_mode & 0777, 0600U);
  write("# by hand\n\ngpu2:8899 " + key_a);  // without an end of line
  ASSERT_TRUE(remember_head(file, "gpu3", 8899, key_b));
  EXPECT_EQ(known("gpu2"), key_a);
  EXPECT_EQ(known("gpu3"), key_b);
}

TEST_F(KnownHeadsFile, ThatIsDamagedIsAnErrorNotANewHead) {
  for (const std::string& line :
       {std::string("localhost:8899"), "localhost:8899 " + key_a.substr(0, 20), std::string(60, '\0'),
        "localhost " + key_a, "localhost:8899 " + key_a + " more", "localhost:99999 " + key_a, "[]:1 " + key_a}) {
    write("gpu1:8899 " + key_a + "\n" + line + "\n");
    EXPECT_THAT(known("gpu1"), HasSubstr("line 2 of " + file + " is damaged")) << line;
  }
}

TEST_F(KnownHeadsFile, ThatCannotBeReadIsAnErrorNotANewHead) {
  mkdir(file.c_str(), 0700);
  EXPECT_THAT(known("localhost"), HasSubstr("cannot read the keys of known heads, " + file));
  rmdir(file.c_str());
  ASSERT_EQ(symlink(file.c_str(), file.c_str()), 0);  // a circle
  EXPECT_THAT(known("localhost"), HasSubstr("cannot read the keys of known heads, " + file));
}

/// What connectors make of it.
class KnownHeadsOfPeers : public SessionTest {
 protected:
  void SetUp() override {
    start(Transport::tcp);
    options = connect_options(listening, listener->port());
    options.known_heads = dir.file("state/known_heads");
    mkdir(dir.file("state").c_str(), 0700);
  }
  void join_again(const std::string& address) {
    connector.reset();
    at_peer.open.clear();
    ASSERT_TRUE(run_until([&] { return at_head.open.empty(); }));
    options.address = address;
    join(options);
  }
  /// A head with another key on the same port.
  void another_head() {
    const std::uint16_t port = options.port;
    listener.reset();
    at_head.open.clear();
    std::filesystem::rename(listening.key_file, listening.key_file + ".rightful");
    listening.port = port;
    start(listening);
  }
  void rightful_head() {
    listener.reset();
    at_head.open.clear();
    std::filesystem::rename(listening.key_file + ".rightful", listening.key_file);
    start(listening);
  }
  ConnectOptions options;
};

TEST_F(KnownHeadsOfPeers, OneEntryServesAllNames) {
  join(options);
  ASSERT_TRUE(joined());
  join_again("localhost");
  ASSERT_TRUE(joined());
  connector.reset();
  std::ifstream lines(options.known_heads);
  std::string all;
  for (std::string line; std::getline(lines, line);) all += line + ";";
  EXPECT_EQ(all, "localhost:" + std::to_string(options.port) + " " + listener->fingerprint() + ";");
  another_head();
  join_again("LOCALHOST");
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("has another key than before"));
}

TEST_F(KnownHeadsOfPeers, AFileThatCannotBeReadIsFinalBeforeAnythingIsProved) {
  mkdir(options.known_heads.c_str(), 0700);
  options.address = "127.0.0.1,127.0.0.1";
  join(options);
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::invalid);
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("cannot read the keys of known heads"));
  EXPECT_TRUE(at_head.open.empty());
  EXPECT_EQ(at_peer.finals.size(), 1U);
}

TEST_F(KnownHeadsOfPeers, AnotherKeyIsAnOutageForWhoHadASession) {
  join(options);
  ASSERT_TRUE(joined());
  ::testing::internal::CaptureStderr();
  another_head();
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 3; }));
  output::flush();
  const std::string log = ::testing::internal::GetCapturedStderr();
  EXPECT_THAT(log, HasSubstr("has another key than before"));
  EXPECT_EQ(log.find("another key"), log.rfind("another key")) << "told once:\n" << log;
  EXPECT_TRUE(at_peer.finals.empty() && at_head.open.empty());
  rightful_head();
  ASSERT_TRUE(joined());
}

TEST_F(KnownHeadsOfPeers, ALineThatIsRemovedWhileThePeerTriesMakesTheHeadNew) {
  join(options);
  ASSERT_TRUE(joined());
  another_head();
  ASSERT_TRUE(run_until([&] { return !at_peer.retries.empty(); }));
  std::filesystem::remove(options.known_heads);
  ASSERT_TRUE(joined());
}

TEST_F(KnownHeadsOfPeers, ARefusalOfAStrangerIsNothingAndOneOfTheHeadIsFinal) {
  options.known_heads = "";  // without a file the keys of this process' sessions count
  join(options);
  ASSERT_TRUE(joined());
  listening.secret = {"another horse"};
  another_head();
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 2; }));
  EXPECT_THAT(at_peer.retries[1], HasSubstr("refused: the password is wrong"));
  EXPECT_TRUE(at_peer.finals.empty());
  rightful_head();  // its password was changed
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected);
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("the password is wrong"));
}

TEST_F(KnownHeadsOfPeers, OnlyAWholeFingerprintMatches) {
  for (const std::string& wrong : {listener->fingerprint() + "A", "x" + listener->fingerprint(), std::string(","),
                                   listener->fingerprint().substr(0, 49)}) {
    at_peer.finals.clear();
    options.fingerprint = wrong;
    join(options);
    ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
    EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected) << wrong;
  }
  options.fingerprint = key_a + "," + listener->fingerprint();
  join(options);
  ASSERT_TRUE(joined());
}

}  // namespace
}  // namespace dc::net
