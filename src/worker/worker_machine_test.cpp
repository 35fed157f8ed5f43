// In which order a worker does what it is given.
#include "worker/worker_machine.hpp"

#include <gtest/gtest.h>

#include <string>

namespace dc::worker {
namespace {

using Step = WorkerMachine::Step;

/// Does what comes next until nothing does: u7 an update, j3 a job, h the history is applied, ! it waits for an update,
/// x the end.
std::string all_of(WorkerMachine& machine, UpdateNumber update_sent = 0) {
  std::string done;
  while (true) {
    switch (machine.next(update_sent)) {
      case Step::construct:
        done += "c ";
        machine.constructed();
        break;
      case Step::apply_update:
        done += "u" + std::to_string(machine.next_update().number) + " ";
        break;
      case Step::receive_update:
        return done + "!";
      case Step::tell_constructed:
        done += "h ";
        break;
      case Step::run_job:
        done += "j" + std::to_string(machine.next_job().index) + " ";
        break;
      case Step::receive:
        return done;
      case Step::end:
        return done + "x" + std::to_string(machine.exit_code());
    }
  }
}

wire::WorkerJob job(std::uint64_t index) { return {index, {}, index + 1, {}}; }
wire::WorkerUpdate update(UpdateNumber number) { return {number, {}}; }

WorkerMachine constructed() {
  WorkerMachine machine;
  machine.take(wire::Begin{});
  machine.take(wire::HistoryEnd{});
  EXPECT_EQ(all_of(machine), "c h ");
  return machine;
}

TEST(WorkerOrder, ItIsConstructedBeforeAnythingElse) {
  WorkerMachine machine;
  EXPECT_EQ(all_of(machine), "");
  machine.take(job(0));
  machine.take(update(1));
  EXPECT_EQ(all_of(machine, 1), "");
  machine.take(wire::Begin{});
  machine.take(wire::HistoryEnd{});
  EXPECT_EQ(all_of(machine, 1), "c u1 h j0 ");
}

TEST(WorkerOrder, TheHistoryIsAppliedBeforeItIsReady) {
  WorkerMachine machine;
  machine.take(wire::Begin{});
  machine.take(update(1));
  EXPECT_EQ(all_of(machine, 2), "c u1 !");
  machine.take(update(2));
  machine.take(wire::HistoryEnd{});
  EXPECT_EQ(all_of(machine, 2), "u2 h ");
}

TEST(WorkerOrder, AnUpdatePassesTheJobsBeforeIt) {
  WorkerMachine machine = constructed();
  machine.take(job(0));
  machine.take(job(1));
  EXPECT_EQ(machine.next(0), Step::run_job);
  EXPECT_EQ(machine.next_job().index, 0U);
  EXPECT_EQ(all_of(machine, 3), "!");  // the node has sent three, and none is here
  machine.take(update(1));
  EXPECT_EQ(all_of(machine, 3), "u1 !");
  machine.take(update(2));
  machine.take(update(3));
  EXPECT_EQ(all_of(machine, 3), "u2 u3 j1 ");
}

TEST(WorkerOrder, WhoIsToldToStopEndsBeforeTheNextJob) {
  WorkerMachine machine = constructed();
  machine.take(job(0));
  machine.take(update(1));
  machine.take(wire::Stop{});
  EXPECT_EQ(all_of(machine, 1), "u1 x0");
  EXPECT_FALSE(machine.terminated());
}

TEST(WorkerOrder, AStopTellsWhetherSigtermHasCome) {
  WorkerMachine machine = constructed();
  machine.take(wire::Stop{1});
  EXPECT_EQ(all_of(machine), "x0");
  EXPECT_TRUE(machine.terminated());
}

TEST(WorkerOrder, AHandlerOfASignalNamesTheExitCode) {
  WorkerMachine machine = constructed();
  machine.take(job(0));
  machine.signalled(7);
  EXPECT_EQ(all_of(machine), "x7");
  EXPECT_TRUE(machine.terminated());
}

TEST(WorkerOrder, ASpoiledOneEndsWhateverWaits) {
  WorkerMachine machine = constructed();
  machine.take(job(0));
  machine.take(update(1));
  machine.spoiled();
  EXPECT_EQ(all_of(machine, 1), "x1");
}

}  // namespace
}  // namespace dc::worker
