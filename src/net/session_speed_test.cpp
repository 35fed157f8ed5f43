// How fast a session is; run by hand: dc_net_test --gtest_also_run_disabled_tests --gtest_filter='*Speed*'
#include <fmt/format.h>

#include <algorithm>
#include <thread>

#include "net/session_fixture_for_tests.hpp"

namespace dc::net {
namespace {

class DISABLED_Speed : public SessionTest, public ::testing::WithParamInterface<Transport> {
 protected:
  /// As small as a job; either end may say it.
  static wire::Message job() { return wire::Proof{std::string(32, 'x')}; }
  /// The head runs in a thread of its own, as it is a process of its own.
  void start_head(std::function<void(Session&, std::vector<wire::Message>&&)> on_messages) {
    auto options = listen_options(GetParam(), dir);
    SessionHandler handler{
        .on_open = [](Session&) {}, .on_messages = std::move(on_messages), .on_close = [](SessionId, const Error&) {}};
    auto result = listen(head_loop, options, handler);
    listening = options;
    listener = std::move(result.value());
    head_thread = std::thread([this] { head_loop.run(); });
    join();
    ASSERT_TRUE(run_until([&] { return at_peer.open.size() == 1; }));
  }
  void TearDown() override {
    connector.reset();
    head_loop.stop();
    head_thread.join();
    listener.reset();
  }
  [[nodiscard]] static const char* name() { return GetParam() == Transport::tcp ? "TCP" : "Unix"; }

  EventLoop head_loop;
  std::thread head_thread;
};
INSTANTIATE_TEST_SUITE_P(Session, DISABLED_Speed, ::testing::Values(Transport::tcp, Transport::unix_socket),
                         [](const auto& info) { return info.param == Transport::tcp ? "Tcp" : "Unix"; });

double seconds_since(TimePoint begin) { return std::chrono::duration<double>(EventLoop::now() - begin).count(); }

TEST_P(DISABLED_Speed, OneDirection) {
  constexpr std::size_t total = 3'000'000;
  std::atomic<std::size_t> arrived = 0;
  start_head([&](Session&, std::vector<wire::Message>&& messages) { arrived += messages.size(); });
  std::size_t sent = 0;
  const TimePoint begin = EventLoop::now();
  std::function<void()> send_some = [&] {
    for (int i = 0; i < 2000 && sent < total && connector->session()->queued_bytes() < (4 << 20); ++i, ++sent) {
      connector->session()->send(job());
    }
    if (arrived < total) loop.post(send_some);
  };
  send_some();
  ASSERT_TRUE(run_until([&] { return arrived == total; }, 60s));
  fmt::print("{:4} one direction: {:.2f} M messages/s\n", name(), total / seconds_since(begin) / 1e6);
}

TEST_P(DISABLED_Speed, RoundTripsWithAThousandUnderWay) {
  constexpr std::size_t total = 2'000'000;
  start_head([](Session& session, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) session.send(std::move(message));
  });
  std::size_t sent = 0;
  std::size_t back = 0;
  at_peer.on_message = [&](Session& session, wire::Message& message) {
    ++back;
    if (sent < total) {
      ++sent;
      session.send(message);
    }
  };
  const TimePoint begin = EventLoop::now();
  for (; sent < 1000; ++sent) connector->session()->send(job());
  ASSERT_TRUE(run_until([&] { return back == total; }, 60s));
  fmt::print("{:4} round trips, 1000 under way: {:.2f} M/s\n", name(), total / seconds_since(begin) / 1e6);
}

TEST_P(DISABLED_Speed, OneRoundTripAfterTheOther) {
  start_head([](Session& session, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) session.send(std::move(message));
  });
  std::vector<double> micros;
  TimePoint sent = EventLoop::now();
  at_peer.on_message = [&](Session& session, wire::Message& message) {
    micros.push_back(seconds_since(sent) * 1e6);
    sent = EventLoop::now();
    session.send(message);
  };
  connector->session()->send(job());
  ASSERT_TRUE(run_until([&] { return micros.size() >= 20'000; }, 60s));
  std::sort(micros.begin(), micros.end());
  fmt::print("{:4} round trip: p50 {:.0f} us, p99 {:.0f} us\n", name(), micros[micros.size() / 2],
             micros[micros.size() * 99 / 100]);
}

TEST_P(DISABLED_Speed, LargePayloads) {
  constexpr std::size_t total = 1000;
  const Payload payload(std::string(4 << 20, 'x'));
  std::atomic<std::size_t> arrived = 0;
  start_head([&](Session&, std::vector<wire::Message>&& messages) { arrived += messages.size(); });
  const TimePoint begin = EventLoop::now();
  for (std::size_t i = 0; i < total; ++i) connector->session()->send(wire::AddUpdate{PoolId{1}, i, payload}, 1);
  ASSERT_TRUE(run_until([&] { return arrived == total; }, 60s));
  fmt::print("{:4} 4 MiB payloads: {:.0f} MiB/s\n", name(), total * 4 / seconds_since(begin));
}

}  // namespace
}  // namespace dc::net
