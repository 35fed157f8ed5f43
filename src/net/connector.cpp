// Keeps one session to the head: dials, shakes hands, and does it again whenever the connection breaks. With several
// addresses it goes round: each gets one attempt in a round, and a pause stands between rounds. An attempt that hangs
// (a frozen head, a firewall) goes on in the background; the first session that opens ends all others.
#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "net/connector_impl.hpp"
#include "net/scram.hpp"

namespace dc::net {
namespace {

/// A session that lasted this long ends a row of failures: the next break is met with the shortest pause again.
constexpr auto stable_after = limits::reconnect_delay_max;

/// `delay` give or take 30 %, so that a thousand nodes do not come back in one instant.
Duration jittered(Duration delay, std::uint64_t random) {
  const double factor = 0.7 + 0.6 * static_cast<double>(random % 1024) / 1023;
  return std::chrono::duration_cast<Duration>(delay * factor);
}

}  // namespace

// --- Rounds -----------------------------------------------------------------------------------------------------

void ConnectorImpl::begin() {
  std::string problem = password_problem(options_.secret.password);
  if (auto addresses = head_addresses(options_.address, options_.port)) {
    for (HeadAddress& address : addresses.value()) {
      Place& place = places_.emplace_back();
      place.name = address.name();
      place.address = std::move(address);
      place.index = places_.size() - 1;
    }
  } else {
    problem = addresses.error().message;
  }
  if (problem.empty()) return begin_round();
  over_ = true;
  loop_.post(weakly([problem](ConnectorImpl& self) {
    if (!self.shutting_down_) self.handler_.on_final(fail(ErrorCode::invalid, problem));
  }));
}

void ConnectorImpl::begin_round() {
  tried_ = 0;
  next_place();
}

/// The next address of the round that is not being tried already, and has not refused us just now.
void ConnectorImpl::next_place() {
  turn_.reset();
  while (tried_ < places_.size()) {
    Place& place = places_[(first_ + tried_++) % places_.size()];
    if (place.attempt) continue;
    if (refused_lately(place)) {
      place.problem = place.refusal;
      continue;
    }
    try_place(place);
    if (tried_ < places_.size()) after(limits::next_address_after, &ConnectorImpl::next_place);
    return;
  }
  if (!all_pending()) round_failed(ErrorCode::unreachable);
}

bool ConnectorImpl::all_pending() const {
  return std::all_of(places_.begin(), places_.end(), [](const Place& place) { return place.attempt.has_value(); });
}

bool ConnectorImpl::any_pending() const {
  return std::any_of(places_.begin(), places_.end(), [](const Place& place) { return place.attempt.has_value(); });
}

void ConnectorImpl::after(Duration delay, void (ConnectorImpl::*next)()) {
  turn_ = loop_.call_at(EventLoop::now() + delay, weakly([next](ConnectorImpl& self) {
                          if (!self.over_) (self.*next)();
                        }));
}

void ConnectorImpl::failed(Place& place, Error error) {
  end_attempt(place);
  place.problem = std::move(error.message);
  const bool latest = place.index == (first_ + tried_ - 1) % places_.size();
  if (tried_ < places_.size()) return latest ? next_place() : void();
  if (!options_.reconnect && any_pending()) return;
  if (!turn_) round_failed(error.code);  // else the next round waits already
}

/// The head there, or so it seems, does not want us. That is final for a peer that knows it to be the head. Another at
/// its first contact can tell only when all say the same.
void ConnectorImpl::refused(Place& place, Error error) {
  place.refusal = error.message;
  place.refused_at = EventLoop::now();
  const bool by_all =
      std::all_of(places_.begin(), places_.end(), [](const Place& other) { return !other.refusal.empty(); });
  if (!had_session_ && !by_all) return failed(place, std::move(error));
  end_attempt(place);
  if (!had_session_) {
    error.message.clear();
    for (const Place& other : places_) error.message += (error.message.empty() ? "" : " ") + other.refusal;
  }
  give_up(std::move(error));
}

bool ConnectorImpl::refused_lately(const Place& place) const {
  return !place.refusal.empty() && EventLoop::now() - place.refused_at < limits::refused_again_after;
}

/// No address answered so far. What hangs goes on.
void ConnectorImpl::round_failed(ErrorCode code) {
  for (const Place& place : places_) {
    if (!place.refusal.empty()) code = ErrorCode::rejected;
  }
  std::string problems;
  for (std::size_t i = 0; i < places_.size(); ++i) {
    const std::string problem = std::exchange(places_[(first_ + i) % places_.size()].problem, {});
    if (!problems.empty() && !problem.empty()) problems += ' ';
    problems += problem;
  }
  const Error error = fail(code, std::move(problems));
  if (!options_.reconnect) return give_up(error);
  after(next_delay(), &ConnectorImpl::begin_round);
  handler_.on_retry(error, ++failures_);
}

void ConnectorImpl::give_up(Error error) {
  over_ = true;
  end_attempts();
  handler_.on_final(error);
}

// --- After it ---------------------------------------------------------------------------------------------------

void ConnectorImpl::on_closed(const Error& why) {
  const auto session = std::exchange(session_, nullptr);
  const Error error =
      fail(why.code, fmt::format("the connection to the head at {} ended: {}", session->peer().head, why.message));
  handler_.session.on_close(session->id(), error);
  if (dead_) return;
  if (shutting_down_) return finish_shut_down();
  if (!options_.reconnect) return give_up(error);
  if (EventLoop::now() - opened_ >= stable_after) delay_ = limits::reconnect_delay_min;
  after(next_delay(), &ConnectorImpl::begin_round);
}

Duration ConnectorImpl::next_delay() {
  const Duration delay = delay_;
  delay_ = std::min<Duration>(2 * delay_, places_.size() > 1 ? limits::round_delay_max : limits::reconnect_delay_max);
  return jittered(delay, random_id());
}

void ConnectorImpl::end_attempt(Place& place) {
  if (!place.attempt) return;
  if (place.attempt->channel) place.attempt->channel->abort();
  place.attempt.reset();
}

void ConnectorImpl::end_attempts() {
  for (Place& place : places_) end_attempt(place);
}

void ConnectorImpl::shut_down(std::string message, Callback done) {
  shut_down_done_ = std::move(done);
  shutting_down_ = true;
  over_ = true;
  end_attempts();
  turn_.reset();
  if (session_) {
    session_->send(wire::Goodbye{message}, wire::control_lane);
    session_->close(std::move(message));
  }
  loop_.post(weakly([](ConnectorImpl& self) { self.finish_shut_down(); }));
}

void ConnectorImpl::finish_shut_down() {
  if (shut_down_done_ && !session_) std::exchange(shut_down_done_, {})();
}

void ConnectorImpl::destroy() {
  dead_ = true;
  over_ = true;
  end_attempts();
  turn_.reset();
  if (session_) session_->abort();
  session_.reset();
}

namespace {

class ConnectorHandle final : public Connector {
 public:
  explicit ConnectorHandle(std::shared_ptr<ConnectorImpl> impl) : impl_(std::move(impl)) {}
  ~ConnectorHandle() override { impl_->destroy(); }
  [[nodiscard]] Session* session() override { return impl_->session(); }
  void shut_down(std::string message, Callback done) override { impl_->shut_down(std::move(message), std::move(done)); }

 private:
  std::shared_ptr<ConnectorImpl> impl_;
};

}  // namespace

std::unique_ptr<Connector> connect(EventLoop& loop, ConnectOptions options, Connector::Handler handler) {
  auto impl = std::make_shared<ConnectorImpl>(loop, std::move(options), std::move(handler));
  impl->begin();
  return std::make_unique<ConnectorHandle>(std::move(impl));
}

}  // namespace dc::net
