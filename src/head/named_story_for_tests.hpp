// For the tests: a head with a journal, which has what the test says.
#pragma once

#include <algorithm>
#include <map>

#include "head/story_for_tests.hpp"

namespace dc::head {

/// A head with a store; the test says when entries are in it.
class NamedStory : public Story {
 protected:
  NamedStory() { restart(); }

  /// A new head on what the journal has; sessions 1 and 2 are opened again. `reads`: it has read all there is before.
  void restart(bool reads = true) {
    machine.~HeadMachine();
    new (&machine) HeadMachine(
        HeadFacts{journal.empty() ? 77U : 78U, 1, 8899, "head", "127.0.0.1", true, "a test", log_of, bounds}, now);
    machine.wall_time(wall);
    effects.clear();
    waiting.clear();
    last_seen = 0;
    reported = false;
    const std::size_t entries = journal.size();
    if (entries > 0) machine.await_pools({log_of("sweep")}, {{log_of("sweep"), entries}}, now, effects);
    if (entries > 0 && reads) machine.pool_read(log_of("sweep"), read_journal(), "", now, effects);
    collect();
    join(client, wire::Role::client, client_id);
    join(node, wire::Role::node, node_id);
  }
  JournalState read_journal() {
    JournalState state;
    for (const auto& [number, entry] : journal) state.add(number, store::Entry(entry));
    EXPECT_EQ(state.problem(), "");
    return state;
  }
  /// The journal that a restarted head has not read so far, is.
  Lines journal_is_read(const std::string& problem = {}) {
    effects.clear();
    machine.pool_read(log_of("sweep"), read_journal(), problem, now, effects);
    machine.flush(now, effects);
    collect();
    return text_of(effects);
  }
  void node_says(std::vector<WorkerReport> workers = {}, std::vector<wire::HeldPool> pools = {}) {
    hear(node, wire::NodeState{{{0, "cpu", 0}}, std::move(pools), std::move(workers), {}});
    reported = true;
  }

  /// All that the head wants in the journal is there; `refused`: but what can be refused is.
  Lines keep(const std::string& refused = {}) {
    collect();
    std::vector<store::Journaled> done;
    for (JournalWrite& append : std::exchange(waiting, {})) {
      const bool lost = append.refusable && !refused.empty();
      if (!lost) journal[append.number] = append.entry;
      for (const store::EntryNumber erased : append.erased) journal.erase(erased);
      done.push_back({append.ticket, lost ? refused : ""});
    }
    for (const JournalRemove& removal : std::exchange(removals, {})) {
      journal.clear();
      done.push_back({removal.ticket, ""});
    }
    effects.clear();
    machine.journaled(done, now, effects);
    machine.flush(now, effects);
    collect();
    return text_of(effects);
  }
  /// Until nothing waits for the journal; all effects of it.
  void keep_all() {
    Effects all;
    collect();
    while (!waiting.empty() || !removals.empty()) {
      keep();
      for (Effect& effect : effects) all.push_back(effect);
    }
    effects = std::move(all);
    machine.check_invariants();
  }
  void collect() {
    for (const Effect& effect : effects) {
      const auto* append = std::get_if<JournalWrite>(&effect);
      const bool seen = append && std::any_of(waiting.begin(), waiting.end(),
                                              [&](const auto& other) { return other.ticket == append->ticket; });
      if (append && !seen && append->ticket > last_seen) {
        waiting.push_back(*append);
        const auto entry = decode(store::Entry(append->entry));
        if (const auto* born = std::get_if<PoolBorn>(&entry.value())) pool = born->id;
        last_seen = append->ticket;
      }
      const auto* removal = std::get_if<JournalRemove>(&effect);
      if (removal && removal->ticket > last_seen) {
        removals.push_back(*removal);
        last_seen = removal->ticket;
      }
    }
  }
  WorkerId open_named() {
    if (!reported) node_says();
    hear(client, wire::OpenPool{pool, {}, false, bytes("spec"), "sweep", false, false});
    keep();
    const auto started = told<wire::StartWorker>(node);
    const WorkerId worker = started.empty() ? WorkerId{} : started[0].worker;
    hear(node, wire::WorkerReady{worker, 99});
    return worker;
  }
  void submit_and_keep(JobSequence first, JobSequence last, const std::string& key = {}) {
    wire::SubmitJobs message{pool, {}};
    for (JobSequence i = first; i <= last; ++i) message.jobs.push_back({i, 0, bytes("x"), key});
    hear(client, std::move(message));
    keep();
  }
  void finish(WorkerId worker, JobSequence sequence, const std::string& value, std::uint32_t attempt = 1) {
    hear(node, wire::JobsDone{worker, pool, {{{sequence, {77, attempt}}, 1000, bytes(value)}}});
  }
  std::vector<std::string> values(SessionId session) {
    std::vector<std::string> found;
    for (const auto& message : told<wire::JobValues>(session)) {
      for (const auto& item : message.items)
        found.push_back(std::to_string(item.sequence) + "=" + std::string(item.value.view()));
    }
    return found;
  }

  static store::LogId log_of(std::string_view name) { return name.size(); }

  PoolBounds bounds;  ///< from the next restart() on
  WallTime wall{1'000'000s};
  bool reported = false;
  store::Ticket last_seen = 0;
  std::vector<JournalWrite> waiting;
  std::vector<JournalRemove> removals;
  std::map<store::EntryNumber, store::Entry> journal;
};

}  // namespace dc::head
