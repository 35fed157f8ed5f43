// Nothing that a peer says can stop the head: a message that contradicts what the head knows ends its session with one
// line that says which, and nothing else happens.
#include "head/named_story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::HasSubstr;
using testing::IsEmpty;

constexpr std::uint64_t huge = ~0ULL;

/// An unnamed pool with a worker and two jobs, of which one runs; a named pool; and another node.
class Contradictions : public NamedStory {
 protected:
  static constexpr SessionId away{5}, liar{50};
  static constexpr std::uint64_t away_id = 201;
  PoolId named{20};

  Contradictions() {
    join(away, wire::Role::node, away_id);
    hear(away, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
    reported = true;
    hear(node, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}});
    hear(client, wire::OpenPool{pool, {}, false, bytes("spec")});
    for (const SessionId of : {node, away}) {
      const auto started = told<wire::StartWorker>(of);
      if (!started.empty()) workers[of] = started[0].worker;
    }
    for (const auto& [of, worker] : workers) hear(of, wire::WorkerReady{worker, 99});
    submit(1, 2);
    hear(client, wire::OpenPool{named, {}, false, bytes("spec"), "sweep", false, false});
    keep_all();
    named = std::exchange(pool, asked);
    hear(client, wire::SubmitJobs{named, {{1, 0, bytes("x")}}});
    keep_all();
  }
  /// What the session is told that says this; empty: it goes on.
  std::string ends(SessionId session, wire::Message message) {
    hear(session, std::move(message));
    machine.check_invariants();
    std::string reason;
    int lines = 0;
    for (const Effect& effect : effects) {
      if (const auto* text = std::get_if<Log>(&effect))
        lines += text->text.find("broke the protocol") != text->text.npos;
      const auto* closing = std::get_if<CloseSession>(&effect);
      if (closing && closing->session == session) reason = closing->reason;
    }
    EXPECT_EQ(lines, reason.empty() ? 0 : 1);
    return reason;
  }
  std::map<SessionId, WorkerId> workers;
};

TEST_F(Contradictions, OfClients) {
  const auto wrong = [&](wire::Message message) {
    // The same client comes again each time, and goes on with what it has.
    join(client, wire::Role::client, client_id);
    hear(client, wire::ResumePool{pool, {1, 2}});
    hear(client, wire::ResumePool{named, {}, "sweep", 1});
    const std::string reason = ends(client, std::move(message));
    lose(client);
    return reason;
  };
  EXPECT_EQ(wrong(wire::SubmitJobs{pool, {{3, 0, bytes("x")}}}), "");
  EXPECT_THAT(wrong(wire::SubmitJobs{pool, {{0, 0, {}}}}), HasSubstr("SubmitJobs with the number 0"));
  EXPECT_THAT(wrong(wire::SubmitJobs{pool, {{huge, 0, {}}}}), HasSubstr("SubmitJobs with the number 184467"));
  EXPECT_THAT(wrong(wire::SubmitJobs{named, {{huge - 1, 0, {}}}}), HasSubstr("SubmitJobs with the number 184467"));
  EXPECT_THAT(wrong(wire::SubmitJobs{pool, {{5, 0, {}}, {5, 0, {}}}}), HasSubstr("job 5 behind job 5"));
  EXPECT_THAT(wrong(wire::SubmitJobs{pool, {{5, huge, {}}}}), HasSubstr("a job after update"));
  EXPECT_THAT(wrong(wire::SubmitJobs{named, {{5, 0, {}, std::string(5000, 'k')}}}), HasSubstr("a key of 5000 bytes"));
  EXPECT_THAT(wrong(wire::SubmitJobs{named, {{1ULL << 40, 0, {}}}}), HasSubstr("job 1099511627776 behind job 1"));
  EXPECT_THAT(wrong(wire::ResumePool{pool, {2, 2}}), HasSubstr("job 2 behind job 2"));
  EXPECT_THAT(wrong(wire::ResumePool{pool, {2}}), HasSubstr("ResumePool of a pool that the session has"));
  EXPECT_THAT(wrong(wire::ResumePool{named, {}}), HasSubstr("ResumePool of a named pool"));
  EXPECT_THAT(wrong(wire::ResumePool{pool, {}, "sweep", 1}), HasSubstr("ResumePool with the name of another pool"));
  EXPECT_THAT(wrong(wire::OpenPool{named, {}, false, {}, "sweep", true, true}), HasSubstr("that the session has"));
  PoolOptions heavy;
  heavy.weight = 1e9;
  EXPECT_THAT(wrong(wire::OpenPool{pool, heavy, false, {}}), HasSubstr("with other options"));
  EXPECT_THAT(wrong(wire::AddUpdate{pool, 10'000, {}}), HasSubstr("AddUpdate 10000 behind 0"));
  EXPECT_THAT(wrong(wire::ResumePool{pool, {huge}}), HasSubstr("ResumePool with the number"));
  EXPECT_THAT(wrong(wire::ResumePool{named, {}, "sweep", 0}), HasSubstr("ResumePool with the number 0"));
  EXPECT_THAT(wrong(wire::ResumePool{named, {}, "sweep", huge}), HasSubstr("ResumePool with the number"));
  EXPECT_THAT(wrong(wire::ResumePool{named, {3, 2}, "sweep", 1}), HasSubstr("job 2 behind job 3"));
  EXPECT_THAT(wrong(wire::ResumePool{named, {}, "sweep", 1, {1}}), HasSubstr("the outcome of job 1, which has none"));
  EXPECT_THAT(wrong(wire::AckOutcomes{pool, {1}}), HasSubstr("AckOutcomes of job 1, which has not ended"));
  EXPECT_THAT(wrong(wire::AckOutcomes{named, {1}}), HasSubstr("AckOutcomes of job 1, whose outcome was never sent"));
  EXPECT_THAT(wrong(wire::AckOutcomes{named, {0}}), HasSubstr("AckOutcomes with the number 0"));
  EXPECT_THAT(wrong(wire::AddUpdate{pool, huge, {}}), HasSubstr("AddUpdate with the number"));
  EXPECT_THAT(wrong(wire::AddUpdate{named, 5, {}}), HasSubstr("AddUpdate of update 5 after update 0"));
  EXPECT_THAT(wrong(wire::ClosePool{pool, true}), HasSubstr("ClosePool that leaves a pool without a name"));
  EXPECT_THAT(wrong(wire::OpenPool{PoolId{0}, {}, false, {}}), HasSubstr("OpenPool without a pool"));
  EXPECT_THAT(wrong(wire::OpenPool{named, {}, false, {}}), HasSubstr("OpenPool of another client's pool"));
  EXPECT_THAT(wrong(wire::OpenPool{pool, {}, false, {}, "sweep", false, false}), HasSubstr("that the session has"));
  EXPECT_EQ(wrong(wire::WantWorkers{pool, 0xffffffff}), "") << "it has what is there";
  EXPECT_EQ(wrong(wire::WantOutcomes{named, 0xffffffff, true}), "");
}

TEST_F(Contradictions, OfNodes) {
  const auto worker_at = [&](SessionId of) { return workers.count(of) ? workers[of] : WorkerId{1}; };
  const WorkerId own = worker_at(node), foreign = worker_at(away);
  const Attempt mine{1, {77, 1}}, never{1, {77, 9}}, strange{huge, {66, 1}};
  const auto holding = [&](std::vector<Attempt> held) {
    return std::vector<WorkerReport>{{own, pool, 0, true, 99, 0, std::move(held)}};
  };
  const std::vector<SlotInfo> slots{{0, "cpu", 0}};
  const std::vector<wire::HeldPool> pools{{pool, 0, {}}};
  // Says it in a session of its own, after a report of what it has.
  const auto wrong = [&](wire::Message message) {
    join(node, wire::Role::node, node_id);
    if (!std::holds_alternative<wire::NodeState>(message))
      hear(node, wire::NodeState{slots, pools, holding({mine}), {}});
    const std::string reason = ends(node, std::move(message));
    lose(node);
    return reason;
  };
  EXPECT_EQ(wrong(wire::NodeState{slots, pools, holding({mine}), {}}), "");
  EXPECT_THAT(wrong(wire::NodeState{slots, pools, holding({mine, mine}), {}}), HasSubstr("NodeState with job 1 twice"));
  EXPECT_THAT(wrong(wire::NodeState{slots, {{pool, 0, {mine}}}, holding({mine}), {}}), HasSubstr("job 1 twice"));
  const Attempt old{8, {66, 1}}, older{9, {66, 1}};
  EXPECT_EQ(wrong(wire::NodeState{slots, {{pool, 0, {old}}, {pool, 0, {older}}}, holding({mine}), {}}), "")
      << "results in parts";
  EXPECT_THAT(wrong(wire::NodeState{slots, {{pool, 0, {old}}, {pool, 0, {old}}}, {}, {}}), HasSubstr("job 8 twice"));
  EXPECT_THAT(wrong(wire::NodeState{slots, {{pool, 0, {old}}, {pool, 1, {older}}}, {}, {}}), HasSubstr("pool twice"));
  EXPECT_THAT(wrong(wire::NodeState{slots, pools, holding({never}), {}}), HasSubstr("never given"));
  EXPECT_THAT(wrong(wire::NodeState{slots, pools, holding({strange}), {}}), HasSubstr("NodeState with the number"));
  EXPECT_THAT(wrong(wire::NodeState{slots, {pools[0], pools[0]}, {}, {}}), HasSubstr("one pool twice"));
  EXPECT_THAT(wrong(wire::NodeState{{{1, "cpu", 0}}, {}, {}, {}}), HasSubstr("slot 1, which it did not have"));
  EXPECT_THAT(wrong(wire::NodeState{std::vector<SlotInfo>(10'000), {}, {}, {}}), HasSubstr("with 10000 slots"));
  EXPECT_THAT(wrong(wire::NodeState{{}, {}, {}, {}}), HasSubstr("without slots that it had"));
  EXPECT_THAT(wrong(wire::JobsRecalled{own, {mine, mine}}), HasSubstr("JobsRecalled, which nobody asked for"));
  EXPECT_THAT(wrong(wire::WorkerExited{own, ExitCause::died, {}, {mine}, {mine}}), HasSubstr("job 1 twice"));
  EXPECT_THAT(wrong(wire::WorkerExited{own, ExitCause::died, {}, {never}, {}}), HasSubstr("does not have"));
  EXPECT_THAT(wrong(wire::WorkerExited{foreign, ExitCause::died, {}, {}, {}}), HasSubstr("WorkerExited of "));
  EXPECT_THAT(wrong(wire::WorkerReady{foreign, 1}), HasSubstr("WorkerReady of "));
  EXPECT_THAT(wrong(wire::WorkerReady{own, 1}), HasSubstr("WorkerReady for the second time"));
  EXPECT_THAT(wrong(wire::UpdatesApplied{own, 7, {}}), HasSubstr("update 7, which is not there"));
  EXPECT_THAT(wrong(wire::SlotsChanged{{{9, "cpu", 0}}}), HasSubstr("slot 9"));
  EXPECT_THAT(wrong(wire::NeedProgram{"../../etc/passwd"}), HasSubstr("without the hash"));
  EXPECT_EQ(wrong(wire::OutputLines{named, "h", 0, {"line"}}), "");
  EXPECT_THAT(told<wire::OutputLines>(client), IsEmpty()) << "it does not serve that pool";
  EXPECT_EQ(wrong(wire::JobsDone{own, pool, {{mine, 1, bytes("v")}}}), "") << "the truth is still heard";
}

TEST_F(Contradictions, APeerWithoutAnIdIsNobody) {
  for (const wire::Role role : {wire::Role::client, wire::Role::node}) {
    join(liar, role, 0);
    EXPECT_THAT(text_of(effects).back(), HasSubstr("Hello without an id"));
    lose(liar);
  }
}

}  // namespace
}  // namespace dc::head
