// Jobs, updates and programs on their way through the head: which messages, in which lanes, how many.
#include <nlohmann/json.hpp>

#include "head/story_for_tests.hpp"

namespace dc::head {
namespace {

using testing::ElementsAre;
using testing::HasSubstr;
using testing::IsEmpty;
using testing::SizeIs;

TEST_F(Story, APoolOpensAndItsWorkerStartsBehindItsClass) {
  const std::string options = "[0 \"\" \"\" \"\" 1 3 0 0 0 true false 0 0 0 0 1 [] 0]";
  EXPECT_EQ(
      hear(client, wire::OpenPool{pool, {}, false, bytes("spec")}),
      (Lines{"1: PoolOpened [10 10 " + options + " 0 0 0 false]", "log: pool a () of here (pid 4711) is open",
             "2: OpenPoolHere [10 " + options + " <spec> \"\"] in lane a", "2: ResultWindow [10 67108864 []] in lane a",
             "2: StartWorker [330712481793 10 0 0 []] in lane a", "1: PoolState [10 0 1 1 1 1]"}));
  EXPECT_EQ(hear(node, wire::WorkerReady{WorkerId{330712481793}, 99}), (Lines{"1: PoolState [10 1 0 1 1 1]"}));
}

TEST_F(Story, AJobGoesThereAndItsValueComesBack) {
  const WorkerId worker = open();
  EXPECT_EQ(submit(1, 2), (Lines{"2: RunJobs [330712481793 [[[1 [77 1]] 0 <x> null]]] in lane 4d00000001"}))
      << "the second waits for the worker";
  EXPECT_EQ(hear(node, wire::JobsDone{worker, pool, {{first_attempt, 60'000'000, bytes("value")}}}),
            (Lines{"2: RunJobs [330712481793 [[[2 [77 1]] 0 <x> null]]] in lane 4d00000001",
                   "1: JobValues [10 [[1 <value>]]]"}));
  EXPECT_EQ(hear(client, wire::AckOutcomes{pool, {1}}), (Lines{"2: AckResults [10 [[1 [77 1]]]]"}));
}

TEST_F(Story, AnErrorComesBackWithItsException) {
  const WorkerId worker = open();
  submit(1, 1);
  ErrorInfo error;
  error.message = "ValueError: no";
  error.type_name = "ValueError";
  EXPECT_EQ(hear(node, wire::JobFailed{worker, pool, first_attempt, 5, error, bytes("pickle")}),
            (Lines{"1: JobError [10 1 [0 \"ValueError: no\" \"\" \"ValueError\" \"\" 0 -1 0] <pickle>]"}));
}

TEST_F(Story, ShortJobsAndTheirValuesAndAcknowledgementsTravelTogether) {
  const WorkerId worker = open();
  submit(1, 1);
  hear(node, wire::JobsDone{worker, pool, {{first_attempt, 5, {}}}});
  submit(2, 101);
  const auto runs = told<wire::RunJobs>(node);
  ASSERT_THAT(runs, SizeIs(1));
  ASSERT_THAT(runs[0].items, SizeIs(100));
  std::vector<wire::Message> done;  // many messages of the node, one for the client
  wire::AckOutcomes acks{pool, {}};
  for (const wire::RunItem& item : runs[0].items) {
    done.emplace_back(wire::JobsDone{worker, pool, {{item.attempt, 5, bytes("v")}}});
    acks.sequences.push_back(item.attempt.sequence);
  }
  hear(node, std::move(done));
  ASSERT_THAT(effects, SizeIs(1));
  EXPECT_THAT(told<wire::JobValues>(client).at(0).items, SizeIs(100));
  hear(client, acks);
  ASSERT_THAT(effects, SizeIs(1));
  EXPECT_THAT(told<wire::AckResults>(node).at(0).attempts, SizeIs(100));
}

TEST_F(Story, ManyValuesAreCutIntoMessagesThatFitAFrame) {
  const WorkerId worker = open();
  submit(1, 1);
  hear(node, wire::JobsDone{worker, pool, {{first_attempt, 5, {}}}});
  submit(2, 101);
  std::vector<wire::Message> done;
  for (JobSequence i = 2; i <= 101; ++i)
    done.emplace_back(wire::JobsDone{worker, pool, {{{i, {77, 1}}, 5, bytes(std::size_t{60'000})}}});
  hear(node, std::move(done));
  std::size_t values = 0;
  for (const wire::JobValues& message : told<wire::JobValues>(client)) {
    std::string encoded;
    std::vector<Payload> external;
    wire::encode(message, encoded, external);
    EXPECT_LE(encoded.size(), limits::batch_bytes_max + limits::inline_payload_max);
    EXPECT_THAT(external, IsEmpty());
    values += message.items.size();
  }
  EXPECT_EQ(values, 100U);
  // The same when a client comes back for all of them at once.
  lose(client);
  constexpr SessionId again{9};
  join(again, wire::Role::client, client_id);
  std::vector<JobSequence> outstanding;
  for (JobSequence i = 2; i <= 101; ++i) outstanding.push_back(i);
  hear(again, wire::ResumePool{pool, outstanding});
  for (const wire::JobValues& message : told<wire::JobValues>(again)) EXPECT_LE(message.items.size(), 18U);
}

TEST_F(Story, ALargeValueHasALaneOfItsOwn) {
  const WorkerId worker = open();
  submit(1, 3);
  const std::size_t large = limits::inline_payload_max + 1;
  hear(node, wire::JobsDone{worker, pool, {{first_attempt, 5, bytes(large)}}});
  hear(node, wire::JobsDone{worker, pool, {{{2, {77, 1}}, 5, bytes("s")}, {{3, {77, 1}}, 5, bytes(large)}}});
  EXPECT_EQ(text_of(effects),
            (Lines{"1: JobValues [10 [[3 <beside>]]] in lane 4000000000000002", "1: JobValues [10 [[2 <s>]]]"}));
}

TEST_F(Story, JobsStayBehindALargeOneOfTheSameWorker) {
  const WorkerId worker = open();
  submit(1, 1);
  hear(node, wire::JobsDone{worker, pool, {{first_attempt, 5, {}}}});
  wire::SubmitJobs jobs{pool, {}};
  for (JobSequence i = 2; i <= 5; ++i) jobs.jobs.push_back({i, 0, bytes("x")});
  jobs.jobs[1].arguments = bytes(limits::inline_payload_max + 1);
  EXPECT_EQ(hear(client, std::move(jobs)),
            (Lines{"2: RunJobs [330712481793 [[[2 [77 1]] 0 <x> null]]] in lane 4d00000001",
                   "2: RunJobs [330712481793 [[[3 [77 1]] 0 <beside> null]]] in lane 4d00000001",
                   "2: RunJobs [330712481793 [[[4 [77 1]] 0 <x> null] [[5 [77 1]] 0 <x> null]]] in lane 4d00000001"}));
}

TEST_F(Story, AnUpdateTravelsInTheLaneOfItsPool) {
  const WorkerId worker = open();
  EXPECT_EQ(hear(client, wire::AddUpdate{pool, 1, bytes("u")}),
            (Lines{"2: PoolUpdate [10 1 <u> false] in lane a", "1: UpdateAccepted [10 1]"}));
  const ErrorInfo error{ErrorKind::job_error, "KeyError: no", "trace", "KeyError", "there", 0, -1, 0};
  EXPECT_EQ(hear(node, wire::UpdatesApplied{worker, 1, true, error, bytes("pickled")}),
            (Lines{"1: UpdateFailed [10 1 [0 \"KeyError: no\" \"trace\" \"KeyError\" \"there\" 0 -1 0] <pickled>]",
                   "1: UpdateApplied [10 1]"}));
}

TEST_F(Story, AWorkerThatIsStoppedWhileItsClassIsOnItsWayIsStoppedBehindItsStart) {
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec")});
  submit(1, 1);
  EXPECT_EQ(hear(node, wire::NodeLeaving{"signal"}),
            (Lines{"log: node there (pid 4711) leaves (signal)", "2: StopWorker [330712481793] in lane a",
                   "1: PoolState [10 0 0 1 1 1]"}));
}

TEST_F(Story, AProgramIsAskedForOnceAndSentBeforeItsPool) {
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = std::string(64, 'a');
  EXPECT_EQ(hear(client, wire::OpenPool{pool, options, false, {}}),
            (Lines{"1: NeedProgram [\"" + options.program_hash + "\"]"}));
  hear(client, wire::Program{options.program_hash, bytes("ELF")});
  const Lines all = text_of(effects);
  EXPECT_THAT(told<wire::PoolOpened>(client), SizeIs(1));
  EXPECT_EQ((Lines{all.begin() + 1, all.begin() + 3}),
            (Lines{"log: pool a () of here (pid 4711) is open",
                   "2: Program [\"" + options.program_hash + "\" <ELF>] in lane a"}));
  EXPECT_THAT(told<wire::OpenPoolHere>(node), SizeIs(1));
  // A second pool of the same program needs nothing more, here or there.
  constexpr SessionId second{5};
  join(second, wire::Role::client, 101);
  hear(second, wire::OpenPool{PoolId{11}, options, false, {}});
  EXPECT_THAT(told<wire::PoolOpened>(second), SizeIs(1));
  // The node lost its cache.
  EXPECT_EQ(hear(node, wire::NeedProgram{options.program_hash}),
            (Lines{"2: Program [\"" + options.program_hash + "\" <ELF>]"}));
  hear(client, wire::ClosePool{pool});
  hear(second, wire::ClosePool{PoolId{11}});
  EXPECT_THAT(hear(node, wire::NeedProgram{options.program_hash}), IsEmpty()) << "kept for a pool only";
}

TEST_F(Story, AProgramIsBelievedOnlyWhenItIsWhatItsNameSays) {
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = std::string(64, 'a');
  constexpr SessionId honest{5};
  join(honest, wire::Role::client, 101);
  hear(client, wire::OpenPool{pool, options, false, {}});
  hear(honest, wire::OpenPool{PoolId{11}, options, false, {}});
  EXPECT_THAT(told<wire::NeedProgram>(honest), SizeIs(1)) << "nobody waits for another one's upload";
  EXPECT_EQ(hear(client, wire::Program{options.program_hash, bytes("rubbish")}),
            (Lines{"log: here (pid 4711) at unix broke the protocol (Program that is not the one with the hash " +
                       options.program_hash + "): session closed",
                   "1: closed (you broke the protocol (Program that is not the one with the hash " +
                       options.program_hash + "))"}));
  hear(honest, wire::Program{options.program_hash, bytes("ELF")});
  EXPECT_THAT(told<wire::PoolOpened>(honest), SizeIs(1));
  EXPECT_THAT(told<wire::OpenPoolHere>(node), SizeIs(1));
  EXPECT_EQ(hear(honest, wire::Program{options.program_hash, bytes("ELF")}).back(),
            "5: closed (you broke the protocol (Program that it was not asked for))");
}

TEST_F(Story, AProgramWhoseClientHasGoneMeanwhileIsNotKept) {
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = std::string(64, 'a');
  hear(client, wire::OpenPool{pool, options, false, {}});
  effects.clear();
  std::vector<wire::Message> messages;
  messages.emplace_back(wire::Program{options.program_hash, bytes("ELF")});
  messages.emplace_back(wire::ClosePool{pool});
  machine.on_messages(client, std::move(messages), now, effects);
  HashProgram asked = std::get<HashProgram>(effects.front());
  EXPECT_EQ(asked.hash, options.program_hash);
  lose(client);
  machine.program_hashed(std::move(asked), "another", now, effects);  // and nobody is left to blame
  EXPECT_EQ(machine.what_is_left(), "");
}

TEST_F(Story, AProgramIsNotSentToANodeThatHasIt) {
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = std::string(64, 'a');
  const SessionId again{9};
  lose(node);
  join(again, wire::Role::node, node_id);
  hear(again, wire::NodeState{{{0, "cpu", 0}}, {}, {}, {options.program_hash}});
  hear(client, wire::OpenPool{pool, options, false, {}});
  hear(client, wire::Program{options.program_hash, bytes("ELF")});
  EXPECT_THAT(told<wire::Program>(again), IsEmpty());
  EXPECT_THAT(told<wire::OpenPoolHere>(again), SizeIs(1));
}

TEST_F(Story, AProgramIsAskedForAgainWhenTheClientWasAway) {
  PoolOptions options;
  options.language = Language::cpp;
  options.program_hash = std::string(64, 'a');
  hear(client, wire::OpenPool{pool, options, false, {}});
  lose(client);
  constexpr SessionId again{9};
  join(again, wire::Role::client, client_id);
  EXPECT_EQ(hear(again, wire::OpenPool{pool, options, false, {}}),
            (Lines{"9: NeedProgram [\"" + options.program_hash + "\"]"}));
  hear(again, wire::Program{options.program_hash, bytes("ELF")});
  EXPECT_THAT(told<wire::PoolOpened>(again), SizeIs(1));
}

TEST_F(Story, OptionsThatMakeNoSenseAreRefusedWithASentence) {
  const auto refusal = [&](auto change) {
    PoolOptions options;
    change(options);
    hear(client, wire::OpenPool{pool, options, false, {}});
    return told<wire::PoolFailed>(client).at(0).error.message;
  };
  EXPECT_EQ(refusal([](PoolOptions& o) { o.weight = 0; }),
            "the pool's weight is 0: it must be a number from 0.01 to 100");
  EXPECT_THAT(refusal([](PoolOptions& o) { o.weight = std::numeric_limits<double>::quiet_NaN(); }), HasSubstr("nan"));
  EXPECT_EQ(refusal([](PoolOptions& o) { o.job_timeout = std::chrono::milliseconds(-1); }),
            "job_timeout is -1 ms: it must not be negative");
  EXPECT_THAT(refusal([](PoolOptions& o) { o.init_timeout = std::chrono::milliseconds::max(); }),
              HasSubstr("leave it out"));
  EXPECT_THAT(refusal([](PoolOptions& o) { o.language = Language::cpp; }), HasSubstr("SHA-256"));
  EXPECT_THAT(refusal([](PoolOptions& o) { o.program_hash = "../../.bashrc"; }), HasSubstr("SHA-256"));
  EXPECT_THAT(submit(1, 1), IsEmpty()) << "jobs that were on their way are ignored without a word";
}

TEST_F(Story, WhatAWorkerPrintsGoesToItsClient) {
  open();
  EXPECT_EQ(hear(node, wire::OutputLines{pool, "there", 0, {"epoch 1"}}),
            (Lines{"1: OutputLines [10 \"there\" 0 [\"epoch 1\"] 0 0]"}));
}

TEST_F(Story, AClassThatCannotBeConstructedEndsThePool) {
  hear(client, wire::OpenPool{pool, {}, false, bytes("spec")});
  wire::WorkerExited failed{told<wire::StartWorker>(node).at(0).worker, ExitCause::init_failed, {}, {}, {}};
  failed.error.message = "KeyError: 'data'";
  EXPECT_THAT(hear(node, failed), testing::Contains("log: pool a has failed: KeyError: 'data'"));
  EXPECT_EQ(told<wire::PoolFailed>(client).at(0).error.kind, ErrorKind::worker_init_error);
  EXPECT_THAT(hear(client, wire::WantWorkers{pool, 1}), IsEmpty()) << "late, and no reason for a log line";
}

TEST_F(Story, TheStatusIsJson) {
  open();
  submit(1, 3);
  now += 90s;
  join(SessionId{3}, wire::Role::viewer, 0);
  hear(SessionId{3}, wire::StatusRequest{});
  const auto json = nlohmann::json::parse(told<wire::StatusReply>(SessionId{3}).at(0).json.view());
  EXPECT_EQ(json, nlohmann::json::parse(R"({
    "head": {"pid": 1, "host": "head", "address": "127.0.0.1", "port": 8899, "version": "0.1.0", "epoch": 77,
             "store": null, "store_trouble": null, "reading": null, "uptime_s": 90.0},
    "nodes": [{"id": "00000000000000c8", "host": "there", "pid": 4711, "address": "unix", "connected": true,
               "leaving": false,
               "slots": [{"slot": 0, "device": "cpu", "gpu": null, "gpu_memory_mib": 0, "gpu_memory_free_mib": 0,
                          "trouble": null, "state": "busy", "pool": "000000000000000a", "worker": "0000004d00000001",
                          "worker_pid": 99, "jobs_done": 0}]}],
    "pools": [{"id": "000000000000000a", "label": "", "client": {"host": "here", "pid": 4711, "connected": true},
               "weight": 1.0, "gpus_per_worker": 1, "workers": 1, "starting": 0, "slots_eligible": 1,
               "slots_set_aside": 0, "waits_for": null, "jobs_queued": 2, "jobs_running": 1, "jobs_done": 0,
               "jobs_rerun": 0, "updates": 0, "name": null, "to_deliver": 0, "to_take": 0,
               "kept_bytes": 0, "keys": 0, "error": null, "reading": null}]})"));
}

TEST_F(Story, TheStatusSaysWhyTheStoreTakesNothing) {
  join(SessionId{3}, wire::Role::viewer, 0);
  const auto trouble = [&] {
    machine.answered(SessionId{3}, now, effects);
    hear(SessionId{3}, wire::StatusRequest{});
    return nlohmann::json::parse(told<wire::StatusReply>(SessionId{3}).at(0).json.view())["head"]["store_trouble"];
  };
  machine.store_trouble("the disk is full");
  EXPECT_EQ(trouble(), "the disk is full");
  machine.store_trouble("");
  EXPECT_EQ(trouble(), nullptr);
}

}  // namespace
}  // namespace dc::head
