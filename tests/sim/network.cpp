// See network.hpp.
#include "network.hpp"

#include <algorithm>

#include "carrier.hpp"
#include "wire/framing.hpp"

namespace dc::sim {
namespace {

/// Both sides write at least every third of the idle timeout, so the last word was heard up to that long ago.
Duration idle_time(World& world) {
  return world.chance.between(limits::session_idle_timeout * 2 / 3, Duration(limits::session_idle_timeout));
}

template <class Item>
bool any_large(const std::vector<Item>& items, Payload Item::*payload) {
  return std::any_of(items.begin(), items.end(),
                     [&](const Item& item) { return (item.*payload).size() > limits::inline_payload_max; });
}

struct LargePayload {
  static bool of(const Payload& payload) { return payload.size() > limits::inline_payload_max; }
  bool operator()(const wire::OpenPool& m) const { return of(m.spec); }
  bool operator()(const wire::OpenPoolHere& m) const { return of(m.spec); }
  bool operator()(const wire::Program& m) const { return of(m.program); }
  bool operator()(const wire::AddUpdate& m) const { return of(m.payload); }
  bool operator()(const wire::PoolUpdate& m) const { return of(m.payload); }
  bool operator()(const wire::SubmitJobs& m) const { return any_large(m.jobs, &SubmittedJob::arguments); }
  bool operator()(const wire::RunJobs& m) const { return any_large(m.items, &wire::RunItem::arguments); }
  bool operator()(const wire::JobsDone& m) const { return any_large(m.items, &wire::FinishedItem::value); }
  bool operator()(const wire::JobValues& m) const { return any_large(m.items, &wire::ValueItem::value); }
  template <class Other>
  bool operator()(const Other&) const {
    return false;
  }
};

}  // namespace

bool has_large_payload(const wire::Message& message) { return std::visit(LargePayload{}, message); }

// --- One connection ---------------------------------------------------------------------------------------------

Connection::Connection(World& world, const Carrier& carrier, const Fatal& fatal, Link& link, SessionId id, DialPtr dial,
                       Endpoint& peer, Endpoint& head)
    : session(id),
      who(dial->who),
      term(head.term()),
      place(dial->place),
      world_(world),
      carrier_(carrier),
      fatal_(fatal),
      link_(link),
      dial_(std::move(dial)),
      ends_{&peer, &head} {
  open_[index(Side::head)] = true;
}

Duration Connection::latency() { return world_.chance.skewed(link_.latency_min, link_.latency_max); }

TimePoint Connection::arrival(Direction& way, const wire::Outgoing& message) {
  const TimePoint earliest = std::max(world_.now() + latency(), way.order_until);
  const bool large = has_large_payload(message.message);
  const auto lane = way.lanes.find(message.lane);
  const bool behind = lane != way.lanes.end() && lane->second > world_.now();
  if (!large && (!behind || message.lane == wire::control_lane)) return way.order_until = earliest;
  TimePoint when = behind ? std::max(lane->second, earliest) : earliest;
  if (large) when += world_.chance.skewed(100us, link_.transfer_max);
  way.lanes[message.lane] = when;
  return when;
}

void Connection::send(Side side, std::vector<wire::Outgoing> messages) {
  const Side to = other(side);
  Direction& way = towards_[index(to)];
  if (!open(side) || way.cut) return;
  std::vector<wire::Message> batch;  // what arrives together
  TimePoint batch_at{};
  const auto finish_batch = [&] {
    if (!batch.empty()) deliver_at(batch_at, to, std::exchange(batch, {}));
  };
  for (wire::Outgoing& message : messages) {
    const TimePoint when = arrival(way, message);
    break_under(message.message, to, when);
    carrier_.carry(message.message, who.role, side);
    if (when != batch_at) finish_batch();
    batch_at = when;
    batch.push_back(std::move(message.message));
  }
  finish_batch();
}

/// Its receiver may lose the connection just before the message is there, and the sender hears of it later.
void Connection::break_under(const wire::Message& message, Side to, TimePoint arrival) {
  if (!fatal_.kinds.contains(message.index()) || !world_.chance.percent(fatal_.percent)) return;
  world_.after(world_.chance.between(0us, arrival - world_.now()),
               [self = shared_from_this(), to, name = wire::name_of(message)] {
                 self->world_.note("network", "session {} breaks under {}", self->session.value, name);
                 self->end(to).run([self, to] { self->drop(to); });
               });
}

void Connection::open_peer() { deliver_at(world_.now() + latency(), Side::peer, Hello{}); }

void Connection::deliver_at(TimePoint when, Side to, Item item) {
  world_.at(when,
            [self = shared_from_this(), to, item = std::move(item)]() mutable { self->arrive(to, std::move(item)); });
}

void Connection::arrive(Side to, Item item) {
  Direction& way = towards_[index(to)];
  if (way.cut) return;
  if (link_.silent[index(to)] || !way.held.empty()) return way.held.push_back(std::move(item));
  hand_in(to, std::move(item));
}

void Connection::hand_in(Side to, Item item) {
  if (!end(to).alive()) return close(to, true);  // nobody is there any more
  end(to).run([self = shared_from_this(), to, item = std::move(item)]() mutable {
    Endpoint& process = self->end(to);
    const bool waiting = to == Side::peer && self->dial_->pending;
    if (std::holds_alternative<Hello>(item)) {
      self->greet();
    } else if (waiting && std::holds_alternative<Close>(item)) {
      self->dial_->fail();
    } else if (!self->open(to)) {
      return;
    } else if (std::holds_alternative<Close>(item)) {
      self->drop(to);
    } else {
      process.received(self, std::move(std::get<std::vector<wire::Message>>(item)));
    }
  });
}

/// The head's Welcome is here.
void Connection::greet() {
  if (!dial_->pending) return close(Side::peer, true);  // too late, the peer has given up
  if (!end(Side::peer).believes(*this)) {
    close(Side::peer, true);
    return dial_->fail();
  }
  dial_->pending = false;
  open_[index(Side::peer)] = true;
  end(Side::peer).opened(shared_from_this());
}

void Connection::end_silence(Side towards) {
  Direction& way = towards_[index(towards)];
  for (Item& item : std::exchange(way.held, {})) hand_in(towards, std::move(item));
}

/// The side's process learns that its end is closed.
void Connection::drop(Side side) {
  if (!std::exchange(open_[index(side)], false)) return;
  towards_[index(side)].cut = true;
  end(side).closed(shared_from_this());
  close(side, true);
}

void Connection::close(Side side, bool in_order) {
  open_[index(side)] = false;
  towards_[index(side)].cut = true;
  const Side to = other(side);
  Direction& way = towards_[index(to)];
  if (way.cut) return;
  if (!in_order) {
    const bool silent = link_.silent[index(to)];
    way.held.clear();
    way.cut = true;
    if (silent) return give_up_later(to, [] { return true; });
    world_.after(latency(), [self = shared_from_this(), to] { self->hand_in(to, Close{}); });
    return;
  }
  deliver_at(std::max(world_.now() + latency(), way.order_until), to, Close{});
}

void Connection::sever(Side side) {
  if (!std::exchange(open_[index(side)], false)) return;
  towards_[0].cut = towards_[1].cut = true;
  end(side).run([self = shared_from_this(), side] { self->end(side).closed(self); });
  give_up_later(other(side), [] { return true; });
}

void Connection::give_up_later(Side side, std::function<bool()> still_so) {
  world_.after(idle_time(world_), [self = shared_from_this(), side, still_so = std::move(still_so)] {
    self->end(side).run([self, side, still_so] {
      if (still_so()) self->drop(side);
    });
  });
}

// --- All of them ------------------------------------------------------------------------------------------------

void Network::add(Link& link, const ConnectionPtr& connection) {
  std::erase_if(link.connections, [](const auto& old) { return old.expired(); });
  link.connections.push_back(connection);
}

DialPtr Network::dial(Endpoint& peer, PeerIdentity who, std::size_t place, std::function<void()> failed) {
  Link& way = link(who.host);
  Endpoint* head = heads_.at(place);
  const auto dial = std::make_shared<Dial>(Dial{std::move(who), place, true, std::move(failed), {}});
  const auto fail_after = [dial, &peer](Duration delay) { peer.run_after(delay, [dial] { dial->fail(); }); };
  const Duration round_trip = 2 * world_.chance.skewed(way.latency_min, way.latency_max);
  if (way.silent[0] || way.silent[1]) {
    fail_after(world_.chance.between(1s, 10s));
    return dial;
  }
  fail_after(head->listens() ? Duration(limits::handshake_deadline) : round_trip);
  world_.after(round_trip, [this, head, dial, &peer, fail_after] {
    if (!head->listens()) return fail_after(1ms);
    head->run([this, dial, &peer] { reach_head(dial, peer); });
  });
  return dial;
}

void Network::reach_head(const DialPtr& dial, Endpoint& peer) {
  if (!dial->pending || !peer.alive()) return;  // it has given up meanwhile
  Link& way = link(dial->who.host);
  if (way.silent[0] || way.silent[1]) return;
  Endpoint& head = *heads_[dial->place];
  if (!head.admits()) return peer.run_after(1ms, [dial] { dial->fail(); });
  const auto connection =
      std::make_shared<Connection>(world_, carrier_, fatal_, way, SessionId{next_session_++}, dial, peer, head);
  dial->connection = connection;
  add(way, connection);
  head.opened(connection);
  connection->open_peer();
}

void Network::silence(Link& way, Side towards, Duration time) {
  const std::size_t direction = towards == Side::head;
  way.silent[direction] = true;
  const std::uint64_t turn = ++way.turn[direction];
  const auto still_so = [&way, direction, turn] { return way.silent[direction] && way.turn[direction] == turn; };
  for (const auto& weak : way.connections) {
    if (const ConnectionPtr connection = weak.lock()) connection->give_up_later(towards, still_so);
  }
  world_.after(time, [&way, direction, towards, still_so] {
    if (!still_so()) return;
    way.silent[direction] = false;
    const auto connections = way.connections;
    for (const auto& weak : connections) {
      if (const ConnectionPtr connection = weak.lock()) connection->end_silence(towards);
    }
  });
}

void Network::expect_silence_of(Endpoint& frozen) {
  for (const ConnectionPtr& connection : connections()) {
    for (const Side side : {Side::peer, Side::head}) {
      if (&connection->end(side) != &frozen) continue;
      connection->give_up_later(other(side), [&frozen] { return frozen.frozen(); });
    }
  }
}

std::vector<ConnectionPtr> Network::connections() {
  std::vector<ConnectionPtr> all;
  for (auto& [host, way] : links_) {
    for (const auto& weak : way.connections) {
      if (ConnectionPtr connection = weak.lock()) all.push_back(std::move(connection));
    }
  }
  return all;
}

}  // namespace dc::sim
