// See faults.hpp.
#include "faults.hpp"

#include <csignal>

namespace dc::sim {

void Faults::begin() {
  const FaultPlan& plan = in_.plan_.faults;
  in_.network_.set_fatal(plan.fatal);
  plan_next(plan.link_break, &Faults::break_link);
  plan_next(plan.half_open, &Faults::half_open);
  plan_next(plan.silence, &Faults::silence);
  plan_next(plan.latency, &Faults::slow_link);
  plan_next(plan.worker_kill, &Faults::kill_worker);
  plan_next(plan.node_crash, &Faults::crash_node);
  plan_next(plan.node_drain, &Faults::drain_node);
  plan_next(plan.node_freeze, &Faults::freeze_node);
  plan_next(plan.node_join, &Faults::join_node);
  plan_next(plan.head_crash, &Faults::crash_head);
  plan_next(plan.head_stop, &Faults::stop_head);
  plan_next(plan.head_freeze, &Faults::freeze_head);
  plan_next(plan.client_crash, &Faults::crash_client);
  plan_next(plan.client_freeze, &Faults::freeze_client);
  plan_next(plan.store_full, &Faults::fill_store);
  plan_next(plan.store_silent, &Faults::hush_store);
  plan_next(plan.store_cut, &Faults::cut_store);
  plan_next(plan.slot_trouble, &Faults::trouble_slot);
}

void Faults::plan_next(Duration mean, Fault fault) {
  if (mean == 0s) return;
  const TimePoint when = in_.world_.now() + in_.world_.chance.between(1ms, 2 * mean);
  if (when >= TimePoint(std::chrono::hours(1)) + in_.plan_.faults_end) return;
  in_.world_.at(when, [this, mean, fault] {
    (this->*fault)();
    plan_next(mean, fault);
  });
}

void Faults::end() {
  in_.world_.note("world", "from now on all is well");
  in_.network_.set_fatal({});
  for (auto& [host, link] : in_.network_.links()) {
    for (const Side side : {Side::peer, Side::head}) {
      const std::size_t direction = side == Side::head;
      if (!link.silent[direction]) continue;
      link.silent[direction] = false;
      const auto connections = link.connections;
      for (const auto& weak : connections) {
        if (const ConnectionPtr connection = weak.lock()) connection->end_silence(side);
      }
    }
  }
  in_.journal_.mend();
  for (auto& head : in_.heads_) {
    head->journal().mend();
    head->thaw();
    if (!head->alive()) head->start(in_.plan_.standby);
  }
  for (auto& client : in_.clients_) {
    client->thaw();
    client->faults_are_over();
  }
  bool stays = false;
  for (auto& node : in_.nodes_) {
    node->thaw();
    node->end_trouble();
    if (!node->alive()) node->start();
    stays |= !node->leaving() && node->facts().slots == in_.plan_.nodes.front().slots;
  }
  if (stays) return;
  NodePlan last = in_.plan_.nodes.front();
  last.host = "last";  // one that leaves may still be there: the ledger tells nodes apart by their hosts
  in_.add_node(std::move(last));
}

// --- Whom it hits -----------------------------------------------------------------------------------------------

NodeProcess* Faults::any_node() {
  if (in_.nodes_.empty()) return nullptr;
  NodeProcess* node = in_.nodes_[in_.world_.chance.below(in_.nodes_.size())].get();
  return node->alive() ? node : nullptr;
}

Client* Faults::any_client() {
  Client* client = in_.clients_[in_.world_.chance.below(in_.clients_.size())].get();
  return client->alive() ? client : nullptr;
}

Peer* Faults::any_peer() {
  if (in_.world_.chance.percent(60)) return any_node();
  return any_client();
}

// --- Links ------------------------------------------------------------------------------------------------------

/// Every other time long enough for the others to give up hope.
Duration Faults::long_or_short(Duration low, Duration high) {
  Chance& chance = in_.world_.chance;
  return chance.percent(50) ? chance.skewed(low, high) : chance.between(high / 3, high);
}

void Faults::break_link() {
  const bool in_order = in_.world_.chance.percent(50);
  if (Peer* peer = any_peer()) peer->break_link(in_order);
}

void Faults::half_open() {
  if (Peer* peer = any_peer()) peer->lose_link_unseen();
}

void Faults::silence() {
  Peer* peer = any_peer();
  if (!peer) return;
  Link& link = in_.network_.link(peer->name());
  const Duration time = long_or_short(200ms, 20s);
  const std::uint64_t which = in_.world_.chance.below(3);
  in_.world_.note(peer->name(), "its link is silent ({})", which == 0 ? "to it" : which == 1 ? "from it" : "both ways");
  if (which != 1) in_.network_.silence(link, Side::peer, time);
  if (which != 0) in_.network_.silence(link, Side::head, time);
}

void Faults::slow_link() {
  Peer* peer = any_peer();
  if (!peer) return;
  Link& link = in_.network_.link(peer->name());
  link.latency_max = in_.world_.chance.skewed(1ms, 2s);
  in_.world_.note(peer->name(), "its link has a delay of up to {} ms", link.latency_max / 1ms);
  in_.world_.after(in_.world_.chance.between(100ms, 5s), [this, &link] { link.latency_max = in_.plan_.latency_max; });
}

// --- Nodes ------------------------------------------------------------------------------------------------------

void Faults::kill_worker() {
  if (NodeProcess* node = any_node()) node->kill_worker();
}

void Faults::trouble_slot() {
  NodeProcess* node = any_node();
  if (!node) return;
  node->change_slot();
  if (in_.world_.chance.percent(50)) node->change_slot();
}

void Faults::crash_node() {
  NodeProcess* node = any_node();
  if (!node) return;
  node->crash();
  if (in_.world_.chance.percent(80))
    in_.world_.after(in_.world_.chance.skewed(10ms, 20s), [node] { node->alive() ? void() : node->start(); });
}

void Faults::drain_node() {
  NodeProcess* node = any_node();
  if (!node) return;
  Chance& chance = in_.world_.chance;
  const std::uint64_t story = chance.below(100);
  if (story < 25) {
    node->signal(SIGINT);
  } else if (story < 50) {
    node->stop_service();
  } else {
    node->signal(story < 65 ? SIGHUP : SIGTERM);
    // Others come with it, or behind it.
    if (chance.percent(30)) node->happens_after(chance.skewed(1us, 150ms), [node] { node->signal(SIGTERM); });
    if (chance.percent(10))
      node->happens_after(chance.skewed(1ms, 2500ms),
                          [node, &chance] { node->signal(chance.percent(50) ? SIGINT : SIGHUP); });
  }
  in_.world_.after(in_.world_.chance.between(1s, 20s), [node] { node->alive() ? void() : node->start(); });
}

void Faults::freeze_node() {
  if (NodeProcess* node = any_node()) freeze(*node, long_or_short(10ms, 20s));
}

void Faults::join_node() {
  if (in_.nodes_.size() >= 8) return;
  NodePlan plan = in_.plan_.nodes[in_.world_.chance.below(in_.plan_.nodes.size())];
  plan.host = fmt::format("late{}", in_.nodes_.size());
  in_.add_node(std::move(plan));
}

// --- The head and the clients -----------------------------------------------------------------------------------

HeadProcess& Faults::any_head() {
  return in_.heads_.size() == 1 ? *in_.heads_.front() : *in_.heads_[in_.world_.chance.below(in_.heads_.size())];
}

/// Whoever starts a head again beside another one has it stand by, as a rule.
void Faults::stop_head(bool in_order) {
  HeadProcess& head = any_head();
  if (!head.alive() || head.frozen()) return;
  head.stop(in_order);
  const bool standby = in_.plan_.standby && in_.world_.chance.percent(80);
  in_.world_.after(in_.world_.chance.skewed(10ms, in_.plan_.standby ? 30s : 8s),
                   [&head, standby] { head.alive() ? void() : head.start(standby); });
}

void Faults::crash_head() { stop_head(false); }
void Faults::stop_head() { stop_head(true); }
void Faults::freeze_head() { freeze(any_head(), in_.world_.chance.skewed(10ms, 35s)); }

void Faults::crash_client() {
  if (Client* client = any_client()) client->crash();
}

void Faults::freeze_client() {
  if (Client* client = any_client()) freeze(*client, long_or_short(10ms, 15s));
}

void Faults::fill_store() { in_.journal_.fill(long_or_short(50ms, 10s)); }
void Faults::hush_store() { in_.journal_.hush(long_or_short(100ms, 40s)); }

void Faults::cut_store() {
  HeadProcess& head = any_head();
  const Duration time = long_or_short(100ms, 30s);
  in_.world_.note(head.name(), "is cut off from the store for {} ms", time / 1ms);
  head.journal().cut(time);
}

void Faults::freeze(Endpoint& process, Duration time) {
  if (!process.alive() || process.frozen()) return;
  in_.world_.note(process.name(), "is frozen for {} ms", time / 1ms);
  process.freeze();
  in_.network_.expect_silence_of(process);
  in_.world_.after(time, [this, &process] {
    in_.world_.note(process.name(), "is thawed");
    process.thaw();
  });
}

}  // namespace dc::sim
