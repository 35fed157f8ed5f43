// Sessions over real sockets: open, talk, close, and every way in which that can go wrong.
#include <fstream>
#include <fcntl.h>
#include <sys/stat.h>

#include <algorithm>
#include <numeric>

#include "net/handshake.hpp"
#include "net/session_fixture_for_tests.hpp"

namespace dc::net {
namespace {

using ::testing::HasSubstr;

/// What a node says to its head, and the head to a node.
wire::NodeLeaving said(std::string text) { return {std::move(text)}; }
wire::Program answer(const wire::Message& message) { return {std::get<wire::NodeLeaving>(message).reason, {}}; }

class BothTransports : public SessionTest, public ::testing::WithParamInterface<Transport> {};
INSTANTIATE_TEST_SUITE_P(Session, BothTransports, ::testing::Values(Transport::tcp, Transport::unix_socket),
                         [](const auto& info) { return info.param == Transport::tcp ? "Tcp" : "Unix"; });

TEST_P(BothTransports, OpensEchoesAndCloses) {
  start(GetParam());
  at_head.on_message = [](Session& session, wire::Message& message) { session.send(answer(message)); };
  join();
  ASSERT_TRUE(joined());
  const Peer& node = at_head.open[0]->peer();
  EXPECT_EQ(node.role, wire::Role::node);
  EXPECT_EQ(node.id, 42u);
  EXPECT_EQ(node.host, host_name());
  EXPECT_EQ(node.pid, static_cast<std::uint32_t>(getpid()));
  EXPECT_EQ(at_peer.open[0]->peer().epoch, 7u);
  EXPECT_EQ(at_peer.open[0]->peer().address == "unix", GetParam() == Transport::unix_socket);
  EXPECT_EQ(connector->session(), at_peer.open[0]);

  at_peer.open[0]->send(said("hello"));
  ASSERT_TRUE(run_until([&] { return at_peer.messages.size() == 1; }));
  EXPECT_EQ(std::get<wire::Program>(at_peer.messages[0]).hash, "hello");

  at_head.open[0]->close("enough");
  ASSERT_TRUE(run_until([&] { return at_head.closed.size() == 1 && at_peer.closed.size() == 1; }));
  EXPECT_THAT(at_peer.closed[0], HasSubstr("enough"));
  ASSERT_TRUE(joined()) << "the connector comes back";
}

TEST_P(BothTransports, WhatWasSentBeforeCloseArrivesAndGoodbyeSaysWhy) {
  start(GetParam());
  join();
  ASSERT_TRUE(joined());
  for (int i = 0; i < 1000; ++i) at_peer.open[0]->send(said(std::string(10'000, 'x')));
  bool done = false;
  connector->shut_down("the user is done", [&] { done = true; });
  ASSERT_TRUE(run_until([&] { return done && at_head.closed.size() == 1; }));
  EXPECT_EQ(at_head.messages.size(), 1001u);
  EXPECT_THAT(at_head.closed[0], HasSubstr("the user is done"));
  EXPECT_EQ(connector->session(), nullptr);
  EXPECT_TRUE(at_peer.finals.empty());
}

TEST_P(BothTransports, APeerThatReadsSlowlyGetsAllThatWasSentBeforeClose) {
  start(GetParam());
  join();
  ASSERT_TRUE(joined());
  at_head.on_message = [](Session&, wire::Message&) { usleep(1000); };  // 2 s in all, the limit for each frame is 1 s
  for (int i = 0; i < 2000; ++i) at_peer.open[0]->send(said(std::string(8'000, 'x')));
  bool done = false;
  connector->shut_down("the user is done", [&] { done = true; });
  ASSERT_TRUE(run_until([&] { return done && at_head.closed.size() == 1; }));
  EXPECT_EQ(at_head.messages.size(), 2001u);
}

TEST_P(BothTransports, LargePayloadsArriveIntactAndDelayNoSmallMessage) {
  start(GetParam());
  constexpr std::size_t size = std::size_t{64} << 20;
  std::string bytes(size, '\0');
  for (std::size_t i = 0; i < size; i += 997) bytes[i] = static_cast<char>(i);
  const Payload payload(std::move(bytes));
  const Payload large_copy = payload;
  bool large_arrived = false;
  std::size_t queued = 0;
  std::vector<std::size_t> meanwhile;  // bytes of the large message that left between a small one and its answer
  at_head.on_message = [&](Session& session, wire::Message& message) {
    if (const auto* update = std::get_if<wire::UpdatesApplied>(&message)) {
      EXPECT_EQ(update->exception, large_copy);
      large_arrived = true;
    } else {
      session.send(answer(message));
    }
  };
  at_peer.on_message = [&](Session& session, wire::Message&) {
    meanwhile.push_back(queued - session.queued_bytes());
    session.send(said("ping"));
    queued = session.queued_bytes();
  };
  join();
  ASSERT_TRUE(joined());
  at_peer.open[0]->send(wire::UpdatesApplied{WorkerId{1}, 1, true, {}, payload}, wire::Lane{1});
  at_peer.open[0]->send(said("ping"));
  queued = at_peer.open[0]->queued_bytes();
  EXPECT_GE(queued, size);
  ASSERT_TRUE(run_until([&] { return large_arrived; }, 30s));
  ASSERT_GT(meanwhile.size(), 10u);
  EXPECT_LE(*std::max_element(meanwhile.begin(), meanwhile.end()), 2 * limits::chunk_bytes);
  EXPECT_TRUE(run_until([&] { return at_peer.open[0]->queued_bytes() == 0; }));
}

TEST_F(SessionTest, AMessageThatIsNotForThisEndEndsTheSession) {
  start(Transport::tcp);
  join();
  ASSERT_TRUE(joined());
  at_head.open[0]->send(said("a node says this, not a head"));
  ASSERT_TRUE(run_until([&] { return at_peer.closed.size() == 1; }));
  EXPECT_THAT(at_peer.closed[0], HasSubstr("NodeLeaving is not for this end"));
  ASSERT_TRUE(run_until([&] { return at_peer.open.size() == 1 && at_head.open.size() == 1; }));
  at_peer.open[0]->send(wire::Program{"a head says this, not a node", {}});
  ASSERT_TRUE(run_until([&] { return at_head.messages.size() == 1; })) << "which of its peers may say it the head sees";
  at_peer.open[0]->send(wire::RunJobs{});
  ASSERT_TRUE(run_until([&] { return at_head.closed.size() == 2; }));
  EXPECT_THAT(at_head.closed[1], HasSubstr("RunJobs is not for this end"));
  EXPECT_TRUE(at_peer.messages.empty());
}

TEST_F(SessionTest, ManyMessagesOfOneTurnTravelInFewFrames) {
  start(Transport::tcp);
  std::size_t arrived = 0;
  std::size_t batches = 0;
  auto handler = at_head.handler();
  listener.reset();
  handler.on_messages = [&](Session&, std::vector<wire::Message>&& messages) {
    ++batches;
    arrived += messages.size();
  };
  auto result = listen(loop, listening, handler);
  ASSERT_TRUE(result);
  listener = std::move(result.value());
  join();
  ASSERT_TRUE(joined());
  for (int i = 0; i < 10'000; ++i) at_peer.open[0]->send(said("a small one"));
  ASSERT_TRUE(run_until([&] { return arrived == 10'000; }));
  EXPECT_EQ(batches, 1u);
}

TEST_F(SessionTest, AWrongPasswordIsFinal) {
  start(Transport::tcp);
  auto options = connect_options(listening, listener->port());
  options.secret = {"wrong horse"};
  join(options);
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected);
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("the password is wrong"));
  EXPECT_TRUE(at_head.open.empty() && at_peer.open.empty() && at_peer.retries.empty());
}

TEST_F(SessionTest, PasswordsThatCannotServeAreRefusedOnBothSides) {
  auto options = listen_options(Transport::tcp, dir);
  options.secret = {""};
  const auto refused = listen(loop, options, at_head.handler());
  ASSERT_FALSE(refused);
  EXPECT_THAT(refused.error().message, HasSubstr("empty"));
  start(Transport::tcp);
  auto joining = connect_options(listening, listener->port());
  joining.secret = {std::string("a\0b", 3)};
  join(joining);
  ASSERT_TRUE(run_until([&] { return !at_peer.finals.empty(); }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::invalid);
}

TEST_F(SessionTest, TheConnectorComesBackWhenTheHeadDoes) {
  start(Transport::tcp);
  join();
  ASSERT_TRUE(joined());
  listening.port = listener->port();
  listener.reset();
  ASSERT_TRUE(run_until([&] { return at_peer.retries.size() >= 2; }));
  EXPECT_EQ(at_peer.closed.size(), 1u);
  EXPECT_EQ(at_peer.retries[0], "cannot reach the head at 127.0.0.1:" + std::to_string(listening.port) +
                                    " (connection refused): is it running, and is the port open?");
  at_head.open.clear();
  start(listening);
  ASSERT_TRUE(joined());
}

TEST_F(SessionTest, AHeadThatShutsDownSaysGoodbyeAndTheConnectorWaitsForTheNext) {
  start(Transport::unix_socket);
  join();
  ASSERT_TRUE(joined());
  bool done = false;
  listener->shut_down("the head is stopping", [&] { done = true; });
  ASSERT_TRUE(run_until([&] { return done && at_peer.closed.size() == 1; }));
  EXPECT_THAT(at_peer.closed[0], HasSubstr("the head is stopping"));
  EXPECT_TRUE(std::holds_alternative<wire::Goodbye>(at_peer.messages.back()));
  EXPECT_FALSE(std::filesystem::exists(listening.unix_path));
  listener.reset();
  start(listening);
  ASSERT_TRUE(joined());
}

TEST_F(SessionTest, WithoutReconnectABreakIsFinal) {
  start(Transport::tcp);
  auto options = connect_options(listening, listener->port());
  options.reconnect = false;
  join(options);
  ASSERT_TRUE(joined());
  listener.reset();
  ASSERT_TRUE(run_until([&] { return at_peer.finals.size() == 1; }));
  EXPECT_EQ(at_peer.closed.size(), 1u);
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::unreachable);
}

TEST_F(SessionTest, TheUnixSocketIsPreferredAndTheTcpPortIsTheFallback) {
  auto options = listen_options(Transport::tcp, dir);
  options.unix_path = dir.file("run/head.sock");
  start(options);
  join();
  ASSERT_TRUE(joined());
  EXPECT_EQ(at_head.open[0]->peer().address, "unix");
  connector.reset();
  ASSERT_TRUE(run_until([&] { return at_head.open.empty(); }));
  at_peer.open.clear();
  ASSERT_EQ(rename(options.unix_path.c_str(), dir.file("elsewhere").c_str()), 0);
  join();
  ASSERT_TRUE(joined());
  EXPECT_THAT(at_head.open[0]->peer().address, ::testing::StartsWith("127.0.0.1:"));
}

TEST_F(SessionTest, BothCanBeDestroyedFromInsideTheirCallbacks) {
  start(Transport::tcp);
  bool head_gone = false;
  bool peer_gone = false;
  at_head.on_message = [&](Session&, wire::Message&) {
    listener.reset();
    head_gone = true;
  };
  auto options = connect_options(listening, listener->port());
  options.reconnect = false;
  auto handler = at_peer.connector_handler();
  handler.on_final = [&](const Error&) {
    connector.reset();
    peer_gone = true;
  };
  handler.session.on_open = [](Session& session) { session.send(said("last words")); };
  connector = connect(loop, options, handler);
  ASSERT_TRUE(run_until([&] { return head_gone && peer_gone; }));
}

TEST_F(SessionTest, ListeningFailsWithASentenceThatSaysWhatToDo) {
  start(Transport::tcp);
  auto options = listening;
  options.port = listener->port();
  const auto in_use = listen(loop, options, at_head.handler());
  ASSERT_FALSE(in_use);
  EXPECT_EQ(in_use.error().message, "cannot listen on 127.0.0.1:" + std::to_string(options.port) +
                                        ": the port is in use. Is a head already running here? Stop it, or choose "
                                        "another port with --port");
  options.addresses = {"nonsense"};
  EXPECT_THAT(listen(loop, options, at_head.handler()).error().message, HasSubstr("not an IP address"));
}

TEST_F(SessionTest, TheHeadsKeyIsMadeOnceAndKeptForItsUserAlone) {
  start(Transport::tcp);
  const std::string first = listener->fingerprint();
  EXPECT_TRUE(is_fingerprint(first)) << first;
  EXPECT_EQ(std::filesystem::status(listening.key_file).permissions(), std::filesystem::perms(0600));
  listener.reset();
  start(Transport::tcp);
  EXPECT_EQ(listener->fingerprint(), first);
  listener.reset();
  std::filesystem::permissions(listening.key_file, std::filesystem::perms(0640));
  EXPECT_THAT(listen(loop, listening, at_head.handler()).error().message, HasSubstr("chmod 600"));
  std::filesystem::permissions(listening.key_file, std::filesystem::perms(0600));
  std::ofstream(listening.key_file) << "nonsense";
  EXPECT_THAT(listen(loop, listening, at_head.handler()).error().message, HasSubstr("remove it"));
}

TEST_F(SessionTest, AKeyIsCheckedAgainstTheFingerprintOrTheOneSeenBefore) {
  start(Transport::tcp);
  auto options = connect_options(listening, listener->port());
  options.known_heads = dir.file("known_heads");
  options.fingerprint = "sha256:" + std::string(43, 'A');
  join(options);
  ASSERT_TRUE(run_until([&] { return at_peer.finals.size() == 1; }));
  EXPECT_EQ(at_peer.finals[0].code, ErrorCode::rejected);
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("has the key " + listener->fingerprint() + ", not sha256:AAAA"));
  options.fingerprint = listener->fingerprint();
  join(options);
  ASSERT_TRUE(joined());

  // Remembered at the first session without a fingerprint; another key at the same address is refused.
  connector.reset();
  at_peer.open.clear();
  ASSERT_TRUE(run_until([&] { return at_head.open.empty(); }));
  options.fingerprint = "";
  join(options);
  ASSERT_TRUE(joined());
  connector.reset();
  at_peer.open.clear();
  listener.reset();
  std::filesystem::remove(listening.key_file);
  listening.port = options.port;
  start(listening);
  join(options);
  ASSERT_TRUE(run_until([&] { return at_peer.finals.size() == 2; }));
  EXPECT_EQ(at_peer.finals[1].code, ErrorCode::rejected);
  EXPECT_THAT(at_peer.finals[1].message, HasSubstr("has another key than before"));
  EXPECT_THAT(at_peer.finals[1].message,
              HasSubstr("remove the line of localhost:" + std::to_string(options.port) + " (line 1) from"));
}

TEST_F(SessionTest, TheUnixSocketIsPrivateAndAStaleOneIsReplaced) {
  start(Transport::unix_socket);
  struct stat file {};
  ASSERT_EQ(stat(listening.unix_path.c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0600u);
  ASSERT_EQ(stat(dir.file("run").c_str(), &file), 0);
  EXPECT_EQ(file.st_mode & 0777, 0700u);
  const auto second = listen(loop, listening, at_head.handler());
  ASSERT_FALSE(second);
  EXPECT_THAT(second.error().message, HasSubstr("already serves the socket"));

  // As a killed head leaves it: the file without a listener.
  const std::string kept = dir.file("run/kept");
  ASSERT_EQ(link(listening.unix_path.c_str(), kept.c_str()), 0);
  listener.reset();
  ASSERT_EQ(rename(kept.c_str(), listening.unix_path.c_str()), 0);
  start(listening);
  join();
  ASSERT_TRUE(joined());
}

TEST_F(SessionTest, UnknownMachinesAndClosedPortsAreNamed) {
  ConnectOptions options;
  options.secret = {test_password};
  options.reconnect = false;
  options.address = "no-such-machine.invalid";
  join(options);
  ASSERT_TRUE(run_until([&] { return at_peer.finals.size() == 1; }, 30s));
  EXPECT_THAT(at_peer.finals[0].message, HasSubstr("cannot find the machine 'no-such-machine.invalid'"));
}

TEST(Machine, KnowsItsOwnAddresses) {
  EXPECT_TRUE(local_address("localhost"));
  EXPECT_TRUE(local_address("127.0.0.1"));
  EXPECT_TRUE(local_address("127.1.2.3"));
  EXPECT_TRUE(local_address("::1"));
  EXPECT_TRUE(local_address(reachable_address()));
  EXPECT_FALSE(local_address("192.0.2.1"));
  EXPECT_FALSE(host_name().empty());
}

TEST(Digest, IsSha256) {
  EXPECT_EQ(content_hash(Payload(std::string("abc")).bytes()),
            "ba7816bf8f01cfea414140de5dae2223b00361a396177a9cb410ff61f20015ad");
  EXPECT_EQ(content_hash({}), "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
  EXPECT_NE(random_id(), random_id());
}

}  // namespace
}  // namespace dc::net
