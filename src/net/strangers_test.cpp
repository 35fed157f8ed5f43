// Peers that are no peers: whoever does not keep to the protocol loses the connection, and nobody else notices.
#include <algorithm>
#include <memory>
#include <random>

#include "core/open_files.hpp"
#include "net/raw_peer_for_tests.hpp"
#include "net/session_fixture_for_tests.hpp"

namespace dc::net {
namespace {

using ::testing::HasSubstr;
using ::testing::StartsWith;

class Strangers : public SessionTest {
 protected:
  void SetUp() override {
    raise_open_files_limit();
    auto options = listen_options(Transport::tcp, dir);
    options.handshake_deadline = 500ms;
    options.on_http = [](std::string_view target) {
      return target == "/metrics" ? HttpAnswer{200, "text/plain", "dc_jobs 1\n"} : HttpAnswer{};
    };
    start(options);
  }
  /// Anew, so that nobody is sent away for being slow.
  void start_with_patience() {
    listener.reset();
    auto options = listening;
    options.handshake_deadline = 60s;
    start(options);
  }
  /// What the head says to these bytes before it closes.
  std::string answer_to(const std::string& bytes, bool encrypted = true) {
    RawPeer peer(listener->port(), encrypted);
    peer.send(bytes);
    EXPECT_TRUE(run_until([&] { return peer.closed(); }, 3s)) << bytes.substr(0, 20);
    return peer.received();
  }
  void expect_that_a_rightful_peer_joins() {
    join();
    EXPECT_TRUE(joined());
  }
};

TEST_F(Strangers, AreTurnedAwayQuietly) {
  std::mt19937 random(1);
  std::string noise(1 << 20, '\0');
  std::generate(noise.begin(), noise.end(), [&] { return static_cast<char>(random()); });
  for (const std::string& bytes :
       {noise, std::string("*1\r\n$4\r\nPING\r\n"), std::string("\x16\x03\x01\x02\x00\x01\x00", 7),
        std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string(100'000, 'A'),
        "GET /" + std::string(100'000, 'A') + " HTTP/1.1\r\n\r\n", std::string("G")}) {
    EXPECT_EQ(answer_to(bytes), "");
    EXPECT_LE(answer_to(bytes, false).size(), 7U) << "an alert of TLS at most";
  }
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, OfAnOlderTlsAreRefused) {
  RawPeer old(listener->port(), true);
  old.offer_at_most(TLS1_2_VERSION);
  EXPECT_TRUE(run_until([&] { return old.closed(); }, 3s));
  EXPECT_FALSE(old.encrypted());
  RawPeer modern(listener->port(), true);
  EXPECT_TRUE(run_until([&] { return modern.closed() || modern.encrypted(); }, 3s));
  EXPECT_TRUE(modern.encrypted());
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, ChoosingWhatCostsMuchAreRefused) {
  for (const char* dear : {"ffdhe8192", "ffdhe2048", "P-521", "P-384", "X448"}) {
    RawPeer peer(listener->port(), true);
    peer.offer_only(dear);
    EXPECT_TRUE(run_until([&] { return peer.closed() || peer.encrypted(); }, 3s));
    EXPECT_THAT(peer.alert(), HasSubstr("alert handshake failure")) << dear;
  }
  for (const char* usual : {"X25519", "P-256", "X448:P-256"}) {
    RawPeer peer(listener->port(), true);
    peer.offer_only(usual);
    EXPECT_TRUE(run_until([&] { return peer.closed() || peer.encrypted(); }, 3s));
    EXPECT_TRUE(peer.encrypted()) << usual;
  }
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, AskingForAPageGetAShortAnswer) {
  EXPECT_THAT(answer_to("GET / HTTP/1.1\r\nHost: x\r\n\r\n"), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(answer_to("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 0\r\n\r\n"),
              StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_EQ(answer_to("POST /metrics HTTP/1.1\r\nHost: x\r\nContent-Length: 99999999\r\n\r\n"), "");
  const std::string metrics = answer_to("GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n");
  EXPECT_THAT(metrics, StartsWith("HTTP/1.1 200 OK\r\n"));
  EXPECT_THAT(metrics, ::testing::EndsWith("\r\n\r\ndc_jobs 1\n"));
  const std::string upgrade =
      " HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\nSec-WebSocket-Version: 13\r\n"
      "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  EXPECT_THAT(answer_to("GET /chat" + upgrade), StartsWith("HTTP/1.1 404 Not Found\r\n"));
  EXPECT_THAT(answer_to("GET /session" + upgrade), StartsWith("HTTP/1.1 101 Switching Protocols\r\n"));
}

TEST_F(Strangers, WhoStaySilentRunIntoTheDeadline) {
  const TimePoint begin = EventLoop::now();
  EXPECT_EQ(answer_to(""), "");
  EXPECT_GE(EventLoop::now() - begin, 450ms);
}

TEST_F(Strangers, HangingAboutInNumbersDoNotKeepTheDoorShut) {
  start_with_patience();
  std::vector<std::unique_ptr<RawPeer>> idlers;
  for (std::size_t i = 0; i < 2 * limits::strangers_address_max; ++i) {
    idlers.push_back(std::make_unique<RawPeer>(listener->port()));
  }
  expect_that_a_rightful_peer_joins();
  const auto sent_away = std::count_if(idlers.begin(), idlers.end(), [](const auto& idler) { return idler->closed(); });
  EXPECT_GE(static_cast<std::size_t>(sent_away), limits::strangers_address_max);
}

TEST_F(Strangers, WhoWriteOneByteAndWaitDoNotKeepTheDoorShut) {
  start_with_patience();
  std::vector<std::unique_ptr<RawPeer>> idlers;
  for (std::size_t i = 0; i < 2 * limits::strangers_address_max; ++i) {
    idlers.push_back(std::make_unique<RawPeer>(listener->port()));
    idlers.back()->send("\x16");
  }
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, WhoChangeTheirKeysAgainAndAgainAreCutOff) {
  start_with_patience();
  std::vector<std::unique_ptr<RawPeer>> peers;
  for (int i = 0; i < 10; ++i) peers.push_back(std::make_unique<RawPeer>(listener->port(), true));
  for (auto& peer : peers) ASSERT_TRUE(run_until([&] { return !peer->closed() && peer->encrypted(); }));
  for (auto& peer : peers) peer->change_keys(1000);
  for (auto& peer : peers) EXPECT_TRUE(run_until([&] { return peer->closed(); })) << "long before the deadline";
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, WhoSendRecordsOrPingsWithoutEndAreCutOff) {
  start_with_patience();
  const std::string upgrade =
      "GET /session HTTP/1.1\r\nHost: x\r\nUpgrade: websocket\r\nConnection: upgrade\r\n"
      "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n\r\n";
  const std::string ping("\x89\x80\0\0\0\0", 6);
  RawPeer pings(listener->port(), true);
  pings.send(upgrade);
  ASSERT_TRUE(run_until([&] { return pings.closed() || !pings.received().empty(); }));
  std::string many;
  for (std::size_t i = 0; i <= limits::handshake_frames_max; ++i) many += ping;
  pings.send(many);
  EXPECT_TRUE(run_until([&] { return pings.closed(); }));
  // One byte in a record each, of a header without end.
  RawPeer crumbs(listener->port(), true);
  std::size_t sent = 0;
  EXPECT_TRUE(run_until([&] {
    if (crumbs.encrypted()) crumbs.send(sent++ < upgrade.size() - 2 ? upgrade.substr(sent - 1, 1) : "x");
    return crumbs.closed();
  }));
  EXPECT_LT(sent, 4000U) << "that many bytes alone would be no reason";
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, OfAnotherVersionAreToldBoth) {
  RawChannel peer(loop, listener->port());
  ASSERT_TRUE(run_until([&] { return peer.open(); }));
  peer.send(wire::Hello{99, "7.5.3", wire::Role::node, 1, "gpu1", 1, "n,,n=dc,r=abc", 0});
  ASSERT_TRUE(run_until([&] { return peer.closed(); }));
  ASSERT_EQ(peer.received().size(), 1u);
  const auto& rejected = std::get<wire::Rejected>(peer.received()[0]);
  EXPECT_EQ(rejected.reason, "version");
  EXPECT_EQ(rejected.message, std::string("the head has distributed computing ") + product_version + " (protocol " +
                                  std::to_string(limits::protocol_version) +
                                  "), this side has 7.5.3 (protocol 99): install the same version on both");
}

TEST_F(Strangers, OfAVersionWithAnotherHelloAreToldBothToo) {
  RawChannel peer(loop, listener->port());
  ASSERT_TRUE(run_until([&] { return peer.open(); }));
  wire::Frame frame;
  frame.head = std::string(
      "\0\x92\x01\x94\x63\xa3"
      "9.0\xc0\xc0",
      11);  // [Hello, [99, "9.0", nil, nil]]
  peer.send_frame(std::move(frame));
  ASSERT_TRUE(run_until([&] { return peer.closed(); }));
  ASSERT_EQ(peer.received().size(), 1u);
  EXPECT_THAT(std::get<wire::Rejected>(peer.received()[0]).message, HasSubstr("9.0 (protocol 99)"));
}

/// The bytes of the first frame of protocol 2: nothing that is changed in Hello changes them.
std::string hello_of_protocol_2(wire::Role role) {
  std::string frame(
      "\0\x92\x01\x98\x02\xa5"
      "0.1.0",
      11);
  frame += static_cast<char>(role);
  frame += std::string(
      "\x07\xa4"
      "gpu1"
      "\xcd\x04\xd2\xad"
      "n,,n=dc,r=abc"
      "\0",
      24);
  return frame;
}

TEST_F(Strangers, OfTheProtocolBeforeAreToldBoth) {
  for (const wire::Role role : {wire::Role::node, wire::Role::client, wire::Role::viewer}) {
    RawChannel peer(loop, listener->port());
    ASSERT_TRUE(run_until([&] { return peer.open(); }));
    wire::Frame frame;
    frame.head = hello_of_protocol_2(role);
    peer.send_frame(std::move(frame));
    ASSERT_TRUE(run_until([&] { return peer.closed(); }));
    ASSERT_EQ(peer.received().size(), 1u);
    const auto& rejected = std::get<wire::Rejected>(peer.received()[0]);
    EXPECT_EQ(rejected.reason, "version");
    EXPECT_THAT(rejected.message, HasSubstr("this side has 0.1.0 (protocol 2): install the same version on both"));
  }
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, WhoAnnounceMuchGetNoMemoryForIt) {
  for (const std::string_view hello : {std::string_view("\0\x92\x01\xdf\xff\xff\xff\xff", 8),  // a map of 4 billion
                                       std::string_view("\0\x92\x01\xdd\xff\xff\xff\xff", 8),  // an array
                                       std::string_view("\0\x92\x01\xdc\xff\xff", 6)}) {       // 65,535 fields
    RawChannel peer(loop, listener->port());
    ASSERT_TRUE(run_until([&] { return peer.open(); }));
    wire::Frame frame;
    frame.head = std::string(hello);
    peer.send_frame(std::move(frame));
    ASSERT_TRUE(run_until([&] { return peer.closed(); }));
    EXPECT_TRUE(peer.received().empty());
  }
  expect_that_a_rightful_peer_joins();
}

TEST_F(Strangers, CannotClaimAnotherRoleThanTheyProved) {
  RawChannel peer(loop, listener->port());
  ASSERT_TRUE(run_until([&] { return peer.open(); }));
  SaltedPasswords cache;
  ScramClient scram(test_password, "viewer-0000000000000001", cache, peer.binding());
  peer.send(wire::Hello{limits::protocol_version, "x", wire::Role::client, 1, "h", 1, scram.first().value(), 0});
  ASSERT_TRUE(run_until([&] { return peer.received().size() == 1; }));
  peer.send(wire::Proof{scram.answer(std::get<wire::Proof>(peer.received()[0]).proof).value()});
  ASSERT_TRUE(run_until([&] { return peer.closed(); }));
  EXPECT_EQ(std::get<wire::Rejected>(peer.received()[1]).reason, "role");
  EXPECT_TRUE(at_head.open.empty());
}

TEST_F(Strangers, WhoSkipTheHandshakeAreCutOff) {
  const wire::Hello hello{limits::protocol_version,         "x", wire::Role::client, 1, "h", 1,
                          "p=tls-exporter,,n=dc,r=abcdefgh"};
  std::vector<std::vector<wire::Frame>> openings;
  openings.push_back({frame_of(wire::StatusRequest{})});
  openings.push_back({frame_of(wire::Proof{"x"})});
  openings.push_back({frame_of(wire::OpenPool{})});
  openings.push_back({frame_of(hello), frame_of(hello)});
  openings.push_back({frame_of(hello), frame_of(wire::SubmitJobs{})});
  openings.push_back({wire::Frame{std::string("\1\x93\1\x91\1\xc4\0", 7), {}}});
  openings.push_back({wire::Frame{"", {}}});
  openings.push_back({wire::Frame{std::string(limits::handshake_frame_bytes_max + 1, '\0'), {}}});
  for (auto& opening : openings) {
    RawChannel peer(loop, listener->port());
    ASSERT_TRUE(run_until([&] { return peer.open(); }));
    peer.send_frame(std::move(opening[0]));
    if (opening.size() > 1) {
      ASSERT_TRUE(run_until([&] { return peer.received().size() == 1; }));
      peer.send_frame(std::move(opening[1]));
    }
    EXPECT_TRUE(run_until([&] { return peer.closed(); }, 400ms));
  }
  EXPECT_TRUE(at_head.open.empty());
  expect_that_a_rightful_peer_joins();
}

// --- The other way round: a head that is none -------------------------------------------------------------------

class NoHead : public SessionTest {
 protected:
  Error error_from(const std::string& greeting, bool closes) {
    RawServer server(loop, greeting, closes);
    ConnectOptions options;
    options.address = "127.0.0.1";
    options.port = server.port();
    options.secret = {test_password};
    options.reconnect = false;
    options.handshake_deadline = 200ms;
    at_peer.finals.clear();
    join(options);
    EXPECT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
    connector.reset();
    return at_peer.finals.empty() ? Error{} : at_peer.finals[0];
  }
};

TEST_F(NoHead, IsToldFromAHead) {
  for (const std::string& greeting : {std::string("SSH-2.0-OpenSSH_9.2\r\n"), std::string("-ERR unknown command\r\n"),
                                      std::string("HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi"),
                                      std::string("HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")}) {
    const Error error = error_from(greeting, false);
    EXPECT_EQ(error.code, ErrorCode::protocol) << greeting;
    EXPECT_THAT(error.message, StartsWith("something answers at 127.0.0.1:"));
    EXPECT_THAT(error.message, HasSubstr("but it is not a head of distributed computing"));
  }
}

TEST_F(NoHead, ThatClosesOrStaysSilentIsTriedAgain) {
  const Error closed = error_from("", true);
  EXPECT_EQ(closed.code, ErrorCode::unreachable);
  EXPECT_THAT(closed.message, HasSubstr("broke the connection off before it was ready"));
  const Error silent = error_from("", false);
  EXPECT_EQ(silent.code, ErrorCode::unreachable);
  EXPECT_THAT(silent.message, HasSubstr("does not answer (for 0.2 s)"));
}

// --- A peer that falls silent -----------------------------------------------------------------------------------

class Silence : public SessionTest {
 protected:
  static constexpr auto timeout = 200ms;
  void open(EventLoop& peer_loop) {
    auto options = listen_options(Transport::tcp, dir);
    options.idle_timeout = timeout;
    start(options);
    auto joining = connect_options(listening, listener->port());
    joining.idle_timeout = timeout;
    connector = connect(peer_loop, joining, at_peer.connector_handler());
  }
};

TEST_F(Silence, OfAFrozenPeerEndsTheSession) {
  EventLoop peer_loop;
  open(peer_loop);
  // Each runs for a while in turn, until both are open; then the peer's loop stands still, as a stopped process does.
  ASSERT_TRUE(run_until([&] {
    (void)net::run_until(peer_loop, [] { return true; });
    return at_head.open.size() == 1 && at_peer.open.size() == 1;
  }));
  const TimePoint begin = EventLoop::now();
  for (int i = 0; i < 100; ++i) at_head.open[0]->send(wire::Notice{PoolId{1}, std::string(60'000, 'x')});
  ASSERT_TRUE(run_until([&] { return at_head.closed.size() == 1; }, 2s));
  EXPECT_THAT(at_head.closed[0], HasSubstr("nothing was heard for 0.2 s"));
  EXPECT_GE(EventLoop::now() - begin, timeout * 3 / 4);
  // Awake again, the peer finds out and comes back.
  ASSERT_TRUE(run_until([&] {
    (void)net::run_until(peer_loop, [] { return true; });
    return at_head.open.size() == 1 && at_peer.closed.size() == 1;
  }));
  connector.reset();
}

TEST_F(Silence, OfOurOwnIsNotBlamedOnThePeer) {
  EventLoop peer_loop;
  open(peer_loop);
  ASSERT_TRUE(run_until([&] {
    (void)net::run_until(peer_loop, [] { return true; });
    return at_head.open.size() == 1 && at_peer.open.size() == 1;
  }));
  // The head stands still for longer than the timeout, while the peer is well; as it finds out, it takes the peer for
  // alive until it has been given the time to speak.
  const TimePoint end = EventLoop::now() + 2 * timeout;
  ASSERT_TRUE(net::run_until(peer_loop, [&] { return EventLoop::now() > end; }));
  const TimePoint awake = EventLoop::now();
  ASSERT_TRUE(run_until([&] { return EventLoop::now() > awake + timeout / 10; }));
  EXPECT_THAT(at_head.closed, ::testing::Each(::testing::Not(HasSubstr("nothing was heard"))));
  connector.reset();
}

TEST_F(Silence, WithNothingToSayKeepsTheSessionOpen) {
  open(loop);
  ASSERT_TRUE(joined());
  const TimePoint end = EventLoop::now() + 5 * timeout;
  ASSERT_TRUE(run_until([&] { return EventLoop::now() > end; }));
  EXPECT_TRUE(at_head.closed.empty() && at_peer.closed.empty());
}

}  // namespace
}  // namespace dc::net
