// A peer that is given several addresses, and heads that take over from one another.
#include <arpa/inet.h>
#include <sys/socket.h>
#include <unistd.h>

#include "net/session_fixture_for_tests.hpp"

namespace dc::net {
namespace {

using ::testing::ElementsAre;
using ::testing::HasSubstr;

/// A port of this machine that takes connections and says nothing: a frozen head.
class SilentPort {
 public:
  SilentPort() : fd_(::socket(AF_INET, SOCK_STREAM | SOCK_CLOEXEC, 0)) {
    sockaddr_in address{};
    address.sin_family = AF_INET;
    address.sin_addr.s_addr = ::htonl(INADDR_LOOPBACK);
    socklen_t size = sizeof address;
    auto* const any = reinterpret_cast<sockaddr*>(&address);
    good_ = ::bind(fd_, any, size) == 0 && ::listen(fd_, 16) == 0 && ::getsockname(fd_, any, &size) == 0;
    port_ = ::ntohs(address.sin_port);
  }
  ~SilentPort() { ::close(fd_); }
  SilentPort(const SilentPort&) = delete;
  SilentPort& operator=(const SilentPort&) = delete;
  [[nodiscard]] bool good() const { return good_; }
  [[nodiscard]] std::string name() const { return "127.0.0.1:" + std::to_string(port_); }

 private:
  int fd_;
  std::uint16_t port_ = 0;
  bool good_ = false;
};

/// Two heads, each with its own key.
class SeveralHeads : public SessionTest {
 protected:
  struct Head {
    ListenOptions options;
    Events events;
    std::unique_ptr<Listener> listener;
    [[nodiscard]] std::string name() const { return "127.0.0.1:" + std::to_string(options.port); }
  };

  void SetUp() override {
    for (Head* head : {&one, &two}) {
      head->options = listen_options(Transport::tcp, dir);
      head->options.key_file = dir.file(head == &one ? "one/key.pem" : "two/key.pem");
      begin(*head);
      end(*head);  // the port is known now
    }
  }
  void begin(Head& head, std::uint64_t term = 0) {
    head.options.term = [term] { return term; };
    auto result = listen(loop, head.options, head.events.handler());
    ASSERT_TRUE(result) << result.error().message;
    head.listener = std::move(result.value());
    head.options.port = head.listener->port();
  }
  static void end(Head& head) {
    head.listener.reset();
    head.events.open.clear();
  }
  ConnectOptions to(const std::string& addresses) const {
    ConnectOptions options = connect_options(one.options, limits::default_port);
    options.address = addresses;
    return options;
  }
  ConnectOptions to_both() const { return to(one.name() + "," + two.name()); }
  bool at(const Head& head) {
    return run_until([&] { return head.events.open.size() == 1 && at_peer.open.size() == 1; });
  }
  static std::string refused(const std::string& name) {
    return "cannot reach the head at " + name + " (connection refused): is it running, and is the port open?";
  }

  Head one, two;
};

TEST_F(SeveralHeads, TheOneThatAnswersIsTakenAndNamed) {
  begin(two);
  join(to_both());
  ASSERT_TRUE(at(two));
  EXPECT_EQ(at_peer.open[0]->peer().head, two.name());
  EXPECT_TRUE(at_peer.retries.empty()) << at_peer.retries[0];
}

TEST_F(SeveralHeads, APeerGoesOverWhenItsHeadIsGoneAndBack) {
  begin(one);
  join(to_both());
  ASSERT_TRUE(at(one));
  end(one);
  begin(two);
  ASSERT_TRUE(at(two));
  EXPECT_THAT(at_peer.closed, ElementsAre(HasSubstr("the connection to the head at " + one.name() + " ended: ")));
  end(two);
  begin(one);
  ASSERT_TRUE(at(one));
}

TEST_F(SeveralHeads, WhenNoneAnswersAllAreNamed) {
  join(to_both());
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 2; }));
  EXPECT_EQ(at_peer.retries[0], refused(one.name()) + " " + refused(two.name()));
  EXPECT_EQ(at_peer.retries[1], at_peer.retries[0]);
}

TEST_F(SeveralHeads, WithoutReconnectEachIsTriedOnce) {
  auto options = to_both();
  options.reconnect = false;
  join(options);
  ASSERT_TRUE(run_until([&] { return at_peer.finals.size() == 1; }));
  EXPECT_EQ(at_peer.finals[0].message, refused(one.name()) + " " + refused(two.name()));
  begin(two);
  join(options);
  ASSERT_TRUE(at(two));
  EXPECT_TRUE(at_peer.retries.empty());
}

TEST_F(SeveralHeads, OneThatIsSilentDoesNotKeepTheOthersWaiting) {
  const SilentPort frozen;
  ASSERT_TRUE(frozen.good());
  const TimePoint begun = EventLoop::now();
  join(to(frozen.name() + "," + one.name()));
  // The standby comes later, while the attempt at the frozen one still hangs.
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 2; }));
  EXPECT_EQ(at_peer.retries[1], refused(one.name()));
  begin(one);
  ASSERT_TRUE(at(one));
  EXPECT_LT(EventLoop::now() - begun, limits::handshake_deadline - 2s);
}

TEST_F(SeveralHeads, AllThatAreSilentAreTriedAgain) {
  const SilentPort first, second;
  auto options = to(first.name() + "," + second.name());
  options.handshake_deadline = 1500ms;
  join(options);
  ASSERT_TRUE(run_until([&] { return !at_peer.retries.empty(); }));
  const auto silent = [](const std::string& name) {
    return HasSubstr("the head at " + name + " does not answer (for 1.5 s)");
  };
  EXPECT_THAT(at_peer.retries[0], silent(first.name()));
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 2; }));
  options.reconnect = false;
  join(options);
  ASSERT_TRUE(run_until([&] { return at_peer.finals.size() == 1; }));
  EXPECT_THAT(at_peer.finals[0].message, AllOf(silent(first.name()), silent(second.name())));
}

TEST_F(SeveralHeads, AWrongPasswordIsFinalWhenAllHaveSaidSo) {
  begin(one);
  auto options = to(two.name() + "," + one.name());
  options.secret = {"wrong horse"};
  join(options);
  // The other one may still be the head: told, and tried again; the one that refused is left alone for a while.
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 3; }));
  const std::string said = "the head at " + one.name() + " refused: the password is wrong";
  for (const std::string& retry : at_peer.retries)
    EXPECT_THAT(retry, AllOf(HasSubstr(refused(two.name())), HasSubstr(said)));
  EXPECT_TRUE(at_peer.finals.empty());
  begin(two);
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected);
  EXPECT_THAT(at_peer.finals[0].message, AllOf(HasSubstr(said), HasSubstr("the head at " + two.name() + " refused")));
}

TEST_F(SeveralHeads, ARefusalOfOneLooksForTheOther) {
  two.options.secret = {"another horse"};
  begin(one);
  begin(two);
  join(to(two.name() + "," + one.name()));
  ASSERT_TRUE(at(one));
  EXPECT_TRUE(at_peer.finals.empty());
  connector.reset();
  at_peer.open.clear();
  auto once = to(two.name() + "," + one.name());
  once.reconnect = false;
  end(one);
  join(once);
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected) << "said to who asks once, although the other was not reached";
}

TEST_F(SeveralHeads, AnAddressThatCannotBeReadIsFinal) {
  join(to("127.0.0.1,127.0.0.1:0"));
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::invalid);
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("'0' is no port"));
}

TEST_F(SeveralHeads, KeysAreKnownByAddressAndEachFingerprintOfAListIsRight) {
  begin(one);
  const std::string key_of_one = one.listener->fingerprint();
  auto options = to_both();
  options.known_heads = dir.file("state/known_heads");
  join(options);
  ASSERT_TRUE(at(one));
  end(one);
  begin(two);
  ASSERT_TRUE(at(two)) << "another key, at another address";
  const std::string keys = key_of_one + "," + two.listener->fingerprint();
  connector.reset();
  at_peer.open.clear();
  two.events.open.clear();
  options = to(two.name());
  options.fingerprint = keys;
  join(options);
  ASSERT_TRUE(at(two));
  options.fingerprint = key_of_one;
  at_peer.open.clear();
  join(options);
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected);
}

TEST_F(SeveralHeads, OneOfALowerTermIsNotBelieved) {
  begin(one, 4);
  join(to_both());
  ASSERT_TRUE(at(one));
  EXPECT_EQ(at_peer.open[0]->peer().term, 4u);
  end(one);
  begin(two, 5);
  ASSERT_TRUE(at(two));
  EXPECT_EQ(two.events.open[0]->peer().term, 4u) << "the head hears which one the peer knows";
  end(two);
  at_peer.retries.clear();
  begin(one, 4);
  ASSERT_TRUE(run_until([&] { return !at_peer.retries.empty() && at_peer.open.empty(); }));
  EXPECT_THAT(at_peer.retries.back(),
              HasSubstr("the head at " + one.name() + " is no longer the head: its term is 4, and the one at " +
                        two.name() + " has told of term 5. Nothing that it says is believed."));
  EXPECT_TRUE(at_peer.messages.empty());
  end(one);
  begin(one, 6);
  ASSERT_TRUE(at(one));
  end(one);
  begin(two);  // without a term: a head that nobody replaces
  ASSERT_TRUE(at(two));
}

TEST_F(SeveralHeads, AHeadThatIsNotCertainTurnsPeersAway) {
  bool certain = false;
  one.options.admits = [&] { return certain; };
  begin(one);
  join(to(one.name()));
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 2; }));
  EXPECT_THAT(at_peer.retries[0], HasSubstr("broke the connection off before it was ready"));
  EXPECT_TRUE(at_peer.open.empty() && one.events.open.empty());
  certain = true;
  ASSERT_TRUE(at(one));
}

TEST_F(SeveralHeads, OneThatBecomesUncertainDuringTheHandshakeOpensNoSession) {
  int asked = 0;
  one.options.admits = [&] { return ++asked % 2 == 1; };  // when it comes, but not when its password is proved
  begin(one);
  join(to(one.name()));
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() == 2; }));
  EXPECT_EQ(asked, 4);
  EXPECT_TRUE(at_peer.open.empty() && one.events.open.empty());
}

TEST_F(SeveralHeads, BreakingOffSaysNothingMore) {
  begin(one);
  // From inside a message of that session.
  one.events.on_message = [&](Session& session, wire::Message&) {
    session.send(wire::Program{"stale", {}});
    one.listener->break_off();
  };
  join(to(one.name()));
  ASSERT_TRUE(at(one));
  one.events.open.clear();
  at_peer.open[0]->send(wire::NodeLeaving{"hello"});
  ASSERT_TRUE(at(one)) << "it comes back";
  EXPECT_TRUE(at_peer.messages.empty());
  EXPECT_TRUE(one.events.closed.empty());
  EXPECT_EQ(at_peer.closed.size(), 1u);
}

}  // namespace
}  // namespace dc::net
