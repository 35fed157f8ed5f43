// The password proof: who is convinced by what.
#include "net/scram.hpp"

#include <gtest/gtest.h>

namespace dc::net {
namespace {

constexpr unsigned few = scram::iterations_min;  // quick
const std::string salt = "0123456789abcdef";

struct Proof {
  bool head_convinced = false;
  bool client_convinced = false;
  std::string identity;
  bool operator==(const Proof&) const = default;
  friend void PrintTo(const Proof& proof, std::ostream* out) {
    *out << proof.head_convinced << proof.client_convinced << ' ' << proof.identity;
  }
};

/// A whole proof, as far as it goes.
Proof prove(const std::string& used, const std::string& real, const std::string& client_binding = {},
            const std::string& server_binding = {}, unsigned iterations = few) {
  const ScramVerifier verifier = ScramVerifier::of(real, salt, iterations);
  SaltedPasswords cache;
  ScramClient client(used, "node-2a", cache, client_binding);
  ScramServer server(verifier, server_binding);
  Proof proof;
  const auto challenge = server.answer(client.first().value());
  if (!challenge) return proof;
  const auto answer = client.answer(challenge.value());
  if (!answer) return proof;
  const auto final_text = server.finish(answer.value());
  if (!final_text) return proof;
  proof.head_convinced = true;
  proof.identity = server.identity();
  proof.client_convinced = client.finish(final_text.value()).has_value();
  return proof;
}

const Proof success{true, true, "node-2a"};
const Proof failure{};

TEST(Scram, TheRightPasswordConvincesBothSides) { EXPECT_EQ(prove("123456", "123456"), success); }

TEST(Scram, AWrongPasswordConvincesNobody) {
  EXPECT_EQ(prove("123457", "123456"), failure);
  EXPECT_EQ(prove("12345", "123456"), failure);
  EXPECT_EQ(prove("1234567", "123456"), failure);
}

TEST(Scram, AnyBytesAreAPasswordExactlyAsTheyAre) {
  for (const std::string& password :
       {std::string("x"), std::string("p\xc3\xa4ss, w\xc3\xb6rd=1"), std::string("\xff\xfe\x80 not UTF-8"),
        std::string("\xc2\xa0"), std::string("\r\n\t\x01"), std::string(10'000, 'k')}) {
    EXPECT_EQ(password_problem(password), "");
    EXPECT_EQ(prove(password, password), success) << password.substr(0, 20);
    EXPECT_EQ(prove(password.substr(0, password.size() - 1), password), failure) << password.substr(0, 20);
  }
  // SASLprep would make these two equal.
  EXPECT_EQ(prove("\xc2\xaa", "a"), failure);
}

TEST(Scram, PasswordsThatCannotServeAreNamed) {
  EXPECT_NE(password_problem("").find("empty"), std::string::npos);
  EXPECT_NE(password_problem(std::string("a\0b", 3)).find("NUL"), std::string::npos);
  EXPECT_NE(password_problem(std::string(100'000, 'x')).find("longer"), std::string::npos);
}

TEST(Scram, ChannelBindingMustBeTheSameOnBothSides) {
  const std::string ours(32, '\x07');
  const std::string other(32, '\x08');
  EXPECT_EQ(prove("123456", "123456", ours, ours), success);
  EXPECT_EQ(prove("123456", "123456", ours, other), failure);
  EXPECT_EQ(prove("123456", "123456", ours, ""), failure);
  EXPECT_EQ(prove("123456", "123456", "", ours), failure);
}

TEST(Scram, UnsoundIterationCountsOfAHeadAreRefused) {
  EXPECT_EQ(prove("123456", "123456", "", "", scram::iterations_min - 1), failure);
  SaltedPasswords cache;
  ScramClient client("123456", "node-2a", cache);
  const std::string first = client.first().value();
  const std::string nonce = first.substr(first.find("r=") + 2);
  const auto answer = client.answer("r=" + nonce + "abc,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4000000000");
  ASSERT_FALSE(answer);
  EXPECT_EQ(answer.error().message, "the head asks for a password proof with unsound parameters");
}

TEST(Scram, AnImpostorHeadIsFoundOut) {
  const ScramVerifier verifier = ScramVerifier::of("123456", salt, few);
  ScramVerifier stolen = verifier;  // knows the stored key, which checks clients, but not the server key
  stolen.server_key = std::string(43, 'A') + "=";
  SaltedPasswords cache;
  ScramClient client("123456", "node-2a", cache);
  ScramServer server(stolen);
  const auto answer = client.answer(server.answer(client.first().value()).value());
  const auto proved = client.finish(server.finish(answer.value()).value());
  ASSERT_FALSE(proved);
  EXPECT_EQ(proved.error().code, ErrorCode::rejected);
}

TEST(Scram, GarbageIsAnErrorAndNotACrash) {
  const ScramVerifier verifier = ScramVerifier::of("123456", salt, few);
  for (const std::string& garbage : {std::string(), std::string("n,,"), std::string("n,,n=,r="), std::string(1, '\0'),
                                     std::string("n,,n=dc,r=\0x", 12), std::string(100'000, 'n')}) {
    ScramServer server(verifier);
    EXPECT_FALSE(server.answer(garbage)) << garbage.substr(0, 20);
    SaltedPasswords cache;
    ScramClient client("123456", "node-2a", cache);
    (void)client.first();
    EXPECT_FALSE(client.answer(garbage)) << garbage.substr(0, 20);
  }
}

TEST(Scram, TheSaltedPasswordIsComputedOnce) {
  SaltedPasswords cache;
  const std::string first = cache.get("123456", salt, few);
  EXPECT_EQ(cache.get("123456", salt, few), first);
  EXPECT_EQ(cache.computed(), 1u);
  EXPECT_NE(cache.get("123456", "another salt....", few), first);
  for (int i = 0; i < 100; ++i) (void)cache.get("123456", "salt of an attacker " + std::to_string(i), few);
  EXPECT_EQ(cache.computed(), 102u);
}

}  // namespace
}  // namespace dc::net
