// The client machine's part for those who wait: they are told for what, once, and the head is told when they wait in a
// job, where pools can wait for each other.
#include <algorithm>
#include <utility>

#include "client/client_machine.hpp"

namespace dc::client {
namespace {

std::string counted(std::uint64_t count, const char* noun) {
  return std::to_string(count) + " " + noun + (count == 1 ? "" : "s");
}

}  // namespace

void ClientMachine::watch(TimePoint now) {
  if (jobs_.unfinished() == 0 && earlier_.credit == 0) idle_until_ = now;
  watch_for_workers(now);
  for (std::size_t i = 0; i < wait_kinds; ++i) {
    const auto what = static_cast<WaitFor>(i);
    if (waits_told_[i] || waits_since(what) > now - limits::waiting_notice_after) continue;
    std::string text = waiting_text(what);
    if (text.empty()) continue;
    waits_told_[i] = true;
    effects_.reports.emplace_back(Note{std::move(text)});
  }
  tell_head_of_waits(now);
}

/// Never: nobody does. Threads that wait for results all the time wait for none while there are none to come.
TimePoint ClientMachine::waits_since(WaitFor what) const {
  const TimePoint since = user_wait(what).since;
  return what == WaitFor::results && since != never ? std::max(since, idle_until_) : since;
}

std::string ClientMachine::waiting_text(WaitFor what) const {
  const std::string head = "the head at " + config_.head_name;
  const bool ready = link_ == Link::ready;
  const std::string last = "update " + std::to_string(last_update());
  switch (what) {
    case WaitFor::opening:
      return link_ == Link::opening && !holder_ ? "waiting for " + head + " to open the pool" : "";
    case WaitFor::results:
      if (!ready || state_.workers == 0) return {};  // told otherwise
      return "waiting for results: " +
             (jobs_.unfinished() > 0 ? counted(jobs_.unfinished(), "job") : std::string("jobs of earlier programs")) +
             " under way or in the queue, " + counted(state_.workers, "worker") + " of the pool at work";
    case WaitFor::workers:
      return {};  // watch_for_workers() tells
    case WaitFor::update_sent:
      if (!ready) return {};
      return "waiting for " + head + " to take " + last +
             (config_.options.keep_updates_history ? "" : ": workers may still lack too much of the earlier ones");
    case WaitFor::updates:
      if (!ready) return {};
      return "waiting until " + counted(state_.workers, "worker") + " of the pool " +
             (state_.workers == 1 ? "has" : "have") + " applied " + last +
             ": handle_update comes between two jobs, and the job that runs goes first";
    case WaitFor::leaving:
      if (link_ == Link::over) return {};
      return "waiting for " + head + " to take " + std::to_string(unsettled()) +
             " jobs and updates before this program leaves " + quoted() + "; Ctrl-C ends the waiting";
  }
  return {};
}

// --- Waiting for workers ----------------------------------------------------------------------------------------

void ClientMachine::watch_for_workers(TimePoint now) {
  const std::optional<WorkersNotice> notice = workers_notice();
  if (!notice) {
    waiting_deadline_ = never;
    waiting_key_.clear();
    return;
  }
  if (notice->key != waiting_key_) {
    waiting_key_ = notice->key;
    waiting_said_ = false;
    waiting_deadline_ = now + notice->after;
  }
  if (waiting_said_ || now < waiting_deadline_) return;
  waiting_said_ = true;
  waiting_deadline_ = never;
  effects_.reports.emplace_back(Note{notice->text});
}

/// What is to be said, unless it was said before, when that has been so for a while.
std::optional<ClientMachine::WorkersNotice> ClientMachine::workers_notice() const {
  const bool wants = jobs_.unfinished() > 0 || wanted_ > 0 || earlier_.credit > 0;
  if (link_ != Link::ready || leaving_ || !wants) return std::nullopt;
  const std::uint32_t most = state_.eligible / std::max(1U, config_.options.gpus_per_worker);
  const bool too_many = counts_known_ && wanted_ > most;
  if (!too_many && state_.workers == 0) {
    std::string text = no_workers_text();
    return WorkersNotice{text, text, limits::no_workers_notice_after};
  }
  if (wanted_ <= state_.workers) return std::nullopt;
  // The numbers change while workers come: it is one thing that is waited for.
  return WorkersNotice{(too_many ? "too many " : "slow ") + std::to_string(wanted_), wanted_text(too_many),
                       too_many ? Duration(0) : Duration(limits::waiting_notice_after)};
}

std::string ClientMachine::wanted_text(bool too_many) const {
  std::string text = "waiting for " + counted(wanted_, "worker") + ": " + std::to_string(state_.workers) + " " +
                     (state_.workers == 1 ? "is" : "are") + " ready" +
                     (state_.starting > 0 ? " and " + std::to_string(state_.starting) + " starting" : "") +
                     ", and the head at " + config_.head_name + " has ";
  if (state_.nodes == 0) return text + "no nodes; start_node on a machine adds one";
  text += counted(state_.nodes, "node") + " with " + counted(state_.slots, "slot");
  if (state_.eligible != state_.slots) text += ", " + std::to_string(state_.eligible) + " of which can run this pool";
  return text + (too_many ? "; start_node on another machine adds more" : "");
}

std::string ClientMachine::no_workers_text() const {
  const std::string head = "waiting for workers: the head at " + config_.head_name + " has ";
  if (state_.nodes == 0) return head + "no nodes; start_node on a machine adds one";
  const std::string counts = head + counted(state_.nodes, "node") + " with " + counted(state_.slots, "slot") + ", ";
  if (state_.starting > 0) return counts + counted(state_.starting, "worker") + " starting";
  if (state_.eligible == 0) return counts + "none of them can run this pool";
  return counts + "none of them free for this pool";
}

// --- Waiting in a job -------------------------------------------------------------------------------------------

void ClientMachine::tell_head_of_waits(TimePoint now) {
  if (config_.in_worker.value == 0 || link_ != Link::ready) return;
  const auto waits = [&](WaitFor what) {
    const Patience patience = user_wait(what).patience;
    const Duration after = patience == Patience::perhaps ? Duration(limits::nested_futures_told_after)
                                                         : Duration(limits::nested_wait_told_after);
    return patience >= Patience::perhaps && waits_since(what) <= now - after;
  };
  const wire::PoolWaits waited{pool_, config_.in_worker, waits(WaitFor::results), waits(WaitFor::workers),
                               waits(WaitFor::updates)};
  const auto same = [&](const wire::PoolWaits& other) {
    return other.results == waited.results && other.workers == waited.workers && other.updates == waited.updates;
  };
  if (waits_at_head_ && same(*waits_at_head_)) return;
  waits_at_head_ = waited;
  send(waited);
}

}  // namespace dc::client
