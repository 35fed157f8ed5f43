// A connector inside: the places that it tries and what each attempt has so far. connector.cpp goes round the places,
// connect_attempt.cpp makes one attempt.
#pragma once

#include <cstdint>
#include <deque>
#include <memory>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "net/dialer.hpp"
#include "net/handshake.hpp"
#include "net/head_address.hpp"
#include "net/known_heads.hpp"
#include "net/mortal.hpp"
#include "net/session_impl.hpp"

namespace dc::net {

/// What one attempt has so far.
struct Attempt {
  std::unique_ptr<Dialer> dialer;
  std::optional<Dialed> dialed;  // waits for the key to expect
  std::shared_ptr<Channel> channel;
  std::optional<PeerHandshake> handshake;
  HandshakeWriter writer;
  std::unique_ptr<Timer> deadline;
  std::string address;      // that was reached
  std::string fingerprint;  // of the head's key; empty on the Unix socket
};

/// One address of a head.
struct Place {
  HeadAddress address;
  std::string name;       // for sentences
  std::size_t index = 0;  // among all
  std::optional<Attempt> attempt;
  std::uint64_t attempt_number = 0;
  std::string problem;           // of its last attempt in this round, a whole sentence
  std::uint64_t stale_term = 0;  // that was told in the log
  std::string key;               // that proved the password here, by its fingerprint
  std::string refusal;           // what the head there said when it refused us, a whole sentence
  TimePoint refused_at{};
  std::set<ErrorCode> strangers_told;  // the kinds of strangers met here since the last session
  bool reading = false;                // the file of known heads, on another thread
};

/// Behind a ConnectorHandle; held by shared_ptr because operations are under way when the handle goes.
class ConnectorImpl : public Mortal<ConnectorImpl> {
 public:
  ConnectorImpl(EventLoop& loop, ConnectOptions options, Connector::Handler handler)
      : loop_(loop), options_(std::move(options)), handler_(std::move(handler)) {}

  void begin();
  [[nodiscard]] Session* session() { return session_.get(); }
  void shut_down(std::string message, Callback done);
  void destroy();

 private:
  void begin_round();
  void next_place();
  void try_place(Place& place);
  void on_socket(Place& place, Result<Dialed> dialed);
  void read_known_heads(Place& place);
  void open_channel(Place& place);
  Result<void> check_key(Place& place, const std::string& fingerprint);
  Result<void> check_known_key(Place& place, const std::string& fingerprint);
  void on_channel(Place& place, Result<void> ready);
  void on_frame(Place& place, std::shared_ptr<const void> frame, std::span<const std::byte> bytes);
  void open(Place& place);
  bool believed(Place& place);
  void remember_key(Place& place);
  void on_closed(const Error& why);
  void failed(Place& place, Error error);
  void refused(Place& place, Error error);
  void not_the_head(Place& place, Error error);
  void ended_early(Place& place, const Error& why);
  [[nodiscard]] bool right_key(const Place& place) const;
  [[nodiscard]] bool refused_lately(const Place& place) const;
  void round_failed(ErrorCode code);
  [[nodiscard]] bool all_pending() const;
  [[nodiscard]] bool any_pending() const;
  void give_up(Error error);
  void after(Duration delay, void (ConnectorImpl::*next)());
  Duration next_delay();
  void end_attempt(Place& place);
  void end_attempts();
  void finish_shut_down();

  /// weakly() for callbacks of one attempt, which nobody wants after its end.
  template <class Body>
  auto in_attempt(Place& place, Body body) {
    return weakly(
        [&place, number = place.attempt_number, body = std::move(body)](ConnectorImpl& self, auto&&... arguments) {
          if (place.attempt && place.attempt_number == number) {
            body(self, place, std::forward<decltype(arguments)>(arguments)...);
          }
        });
  }

  EventLoop& loop_;
  ConnectOptions options_;
  Connector::Handler handler_;
  std::deque<Place> places_;     // never changes after begin()
  std::size_t first_ = 0;        // where a round begins: the place of the last session
  std::size_t tried_ = 0;        // places of this round, from the first on, that had their turn
  std::uint64_t term_ = 0;       // the highest that a head has told
  std::string term_from_;        // the name of that head
  std::unique_ptr<Timer> turn_;  // the next place, or the next round
  SaltedPasswords salted_passwords_;
  std::optional<KnownHeads> known_heads_;  // read when the first key is to be checked
  std::vector<std::jthread> remembering_;  // each writes a new head's key down
  bool had_session_ = false;               // with any of the places
  std::shared_ptr<SessionImpl> session_;
  TimePoint opened_{};
  int failures_ = 0;  // since the last session
  Duration delay_ = limits::reconnect_delay_min;
  Callback shut_down_done_;
  bool shutting_down_ = false;
  bool over_ = false;  // no further attempt
};

}  // namespace dc::net
