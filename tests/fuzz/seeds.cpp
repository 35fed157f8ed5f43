// Writes the corpus: one small valid input for each thing that a target can read. `fuzz_seeds FOLDER`.
#include <filesystem>
#include <fstream>
#include <iostream>

#include "input.hpp"
#include "net/handshake.hpp"
#include "wire/framing.hpp"
#include "wire/packet.hpp"

using namespace dc;

namespace {

constexpr PoolId pool{10};
constexpr WorkerId first_worker{(77ULL << 32) + 1};
constexpr Attempt attempt{1, {77, 1}};

std::filesystem::path folder;

void write(const std::string& target, const std::string& name, const std::string& bytes) {
  std::filesystem::create_directories(folder / target);
  std::ofstream(folder / target / name, std::ios::binary) << bytes;
}

std::string text_of(const wire::Message& message) {
  std::string text;
  std::vector<Payload> external;
  wire::encode(message, text, external);
  return text;
}

const Payload small = Payload::copy("payload");
const ErrorInfo error{ErrorKind::job_error, "ValueError: no", "traceback", "ValueError", "host", 1, -1, 9};

PoolOptions some_options() {
  PoolOptions options;
  options.label = "Worker";
  return options;
}

/// Of named pools: their jobs, whose they are, and what is in them.
std::vector<wire::Message> messages_of_named_pools() {
  return {
      wire::OpenPool{pool, some_options(), false, small, "sweep", false, true, "process"},
      wire::ResumePool{pool, {2}, "sweep", 1, {1}, false},
      wire::ClosePool{pool, true},
      wire::WantOutcomes{pool, 10, true},
      wire::RepairPool{pool, "sweep"},
      wire::PoolOpened{pool, pool, some_options(), 3, 1, 2},
      wire::PoolKnown{pool, true, 1, {2}, 3, {1}, false},
      wire::JobsAccepted{pool, {1, 2}},
      wire::JobsRefused{pool, {3}, error},
      wire::AcksKept{pool, {1}},
      wire::PoolRepaired{pool, 2, 1, false, true},
      wire::ForgetKeys{pool, "sweep", {"key"}, false},
      wire::KeysForgotten{pool, 1},
      wire::JobErrors{pool, {2, 3}, error},
      wire::HolderGone{pool, ClientId{100}},
      wire::PoolHeld{pool, ClientId{100}, "host", 1, "process", 28000},
      wire::SeeOutcomes{"sweep", 0},
      wire::OutcomesSeen{true, {{1, false, {}, small}, {2, true, error, small}}, 2, true},
      wire::SeeDefinitions{"sweep", 100, 0},
      wire::DefinitionsSeen{true, small, {small}, false},
  };
}

/// Results that wait at their node, and slots that change.
std::vector<wire::Message> messages_of_results() {
  return {
      wire::SlotsChanged{{{0, "gpu", 16000, "GPU-0", 8000, "lost"}}},
      wire::JobsParked{first_worker, pool, {{attempt, 0}, {{2, {77, 1}}, 1U << 30}}},
      wire::ResultsFull{pool, true},
      wire::ResultWindow{pool, 1 << 20, {attempt}},
  };
}

/// One of each, its lists filled.
std::vector<wire::Message> all_messages() {
  const PoolOptions options = some_options();
  std::vector<wire::Message> all{
      wire::Hello{limits::protocol_version, "0.1.0", wire::Role::node, 300, "host", 1, "n,,n=,r=abc", 7},
      wire::Proof{"c=biws,r=abc,p=AAAA"},
      wire::Welcome{"0.1.0", 77, 1, "host", 1 << 20, "v=AAAA"},
      wire::Rejected{"password", "wrong"},
      wire::Goodbye{"bye"},
      wire::OpenPool{pool, options, false, small},
      wire::Program{"abc", small},
      wire::ResumePool{pool, {1, 2}},
      wire::PoolResumed{pool},
      wire::SubmitJobs{pool, {{1, 0, small}, {2, 1, small}}},
      wire::AddUpdate{pool, 1, small},
      wire::AckOutcomes{pool, {1}},
      wire::WantWorkers{pool, 2},
      wire::ClosePool{pool},
      wire::NeedProgram{"abc"},
      wire::PoolKnown{pool, true, 1, {2}},
      wire::JobValues{pool, {{1, small}}},
      wire::JobError{pool, 1, error, small},
      wire::UpdateAccepted{pool, 1},
      wire::UpdateApplied{pool, 1},
      wire::UpdateFailed{pool, 1, error, small},
      wire::PoolFailed{pool, error},
      wire::PoolClosed{pool},
      wire::PoolState{pool, 1, 1, 1, 1, 1},
      wire::Notice{pool, "text"},
      wire::OutputLines{pool, "host", 0, {"line", "line"}},
      wire::NodeState{{{0, "cpu", 0}, {1, "gpu", 16000}},
                      {{pool, 1, {attempt}}},
                      {{first_worker, pool, 0, true, 4711, 1, {{2, {77, 1}}}}},
                      {"abc"}},
      wire::WorkerReady{first_worker, 4711},
      wire::WorkerExited{first_worker, ExitCause::died, error, {attempt}, {{2, {77, 1}}}},
      wire::JobsDone{first_worker, pool, {{attempt, 100, small}}},
      wire::JobFailed{first_worker, pool, attempt, 100, error, small},
      wire::JobsRecalled{first_worker, {{2, {77, 1}}}},
      wire::UpdatesApplied{first_worker, 1, true, error, small},
      wire::NodeLeaving{"asked to"},
      wire::OpenPoolHere{pool, options, small},
      wire::ClosePoolHere{pool},
      wire::ActivatePool{pool},
      wire::PoolUpdate{pool, 1, small},
      wire::StartWorker{first_worker, pool, 0, 0},
      wire::StopWorker{first_worker},
      wire::RunJobs{first_worker, {{attempt, 0, small}}},
      wire::RecallJobs{first_worker, 1},
      wire::AckResults{pool, {attempt}},
      wire::StatusRequest{},
      wire::StatusReply{Payload(std::string("{}"))},
  };
  for (wire::Message& message : messages_of_named_pools()) all.push_back(std::move(message));
  for (wire::Message& message : messages_of_results()) all.push_back(std::move(message));
  if (all.size() != std::variant_size_v<wire::Message>) fuzz::broken("every message has a seed");
  return all;
}

void write_frames() {
  wire::FrameWriter writer;
  writer.push(wire::Goodbye{"bye"}, wire::control_lane);
  writer.push(wire::SubmitJobs{pool, {{1, 0, Payload(std::string(limits::inline_payload_max + 1, 'x'))}}}, 1);
  writer.push(wire::AddUpdate{pool, 1, Payload(std::string(limits::chunk_bytes + 1, 'y'))}, 2);
  std::string all, begins;
  while (!writer.empty()) {
    const wire::Frame frame = writer.next();
    const std::string text = frame.head + std::string(frame.body.view());
    if (text.size() > 0xffff) continue;
    (text.size() > 4000 ? all : begins) += fuzz::piece_of(text);
  }
  write("frames", "whole_stream", begins + all);
  write("frames", "beginnings", begins);
}

void write_handshake() {
  const auto frame = [](const wire::Message& message) {
    const wire::Frame frame = net::frame_of(message);
    return fuzz::piece_of(frame.head + std::string(frame.body.view()));
  };
  const auto hello = [&](const std::string& proof) {
    return frame(wire::Hello{limits::protocol_version, "0.1.0", wire::Role::client, 100, "host", 1, proof, 0});
  };
  const std::string binding = "p=tls-exporter,,";
  write("handshake", "plain",
        std::string(1, '\0') + hello("n,,n=user,r=abc") + frame(wire::Proof{"c=biws,r=abc,p=AAAA"}));
  write("handshake", "bound",
        std::string(1, '\2') + hello(binding + "n=user,r=abc") + frame(wire::Proof{"c=biws,r=abc"}));
  const std::string challenge = frame(wire::Proof{"r=abc,s=MDEyMzQ1Njc4OWFiY2RlZg==,i=4096"});
  write("handshake", "head",
        std::string(1, '\1') + challenge + frame(wire::Welcome{"0.1.0", 77, 1, "head", 1, "v=AAAA"}));
  write("handshake", "refusal", std::string(1, '\1') + frame(wire::Rejected{"password", "wrong"}));
}

std::string packet_of(const auto& message, char choice = 0) {
  std::vector<wire::Packet> packets;
  wire::append(packets, message);
  return choice + fuzz::piece_of(packets.front().text);
}

void write_worker_socket() {
  using namespace wire;
  const std::string constructed = packet_of(FromWorker(WorkerConstructed{}));
  write("worker_socket", "value", constructed + packet_of(FromWorker(WorkerValue{0, 5, small}), '\xf0'));
  write("worker_socket", "error", constructed + packet_of(FromWorker(WorkerError{0, 5, error, small})));
  write("worker_socket", "failed", packet_of(FromWorker(ConstructionFailed{error})) + "\xef");
  write("worker_socket", "update", constructed + packet_of(FromWorker(UpdateDone{1, true, error, small})));
  write("worker_socket", "begin", packet_of(ToWorker(Begin{{}, "host", 0, small})));
  write("worker_socket", "job", packet_of(ToWorker(WorkerJob{0, small})));
  write("worker_socket", "worker_update", packet_of(ToWorker(WorkerUpdate{1, small})));
  write("worker_socket", "stop", packet_of(ToWorker(HistoryEnd{})) + packet_of(ToWorker(Stop{})));
  const Payload large(std::string(limits::inline_payload_max + 1, 'x'));
  const std::string announced = packet_of(FromWorker(WorkerValue{0, 5, large}));
  write("worker_socket", "large", constructed + announced + '\1' + fuzz::piece_of("\2"));
  const std::string pieces(limits::inline_payload_max / 2, '\3');
  write("worker_socket", "pieces",
        constructed + announced + '\0' + fuzz::piece_of(pieces) + '\0' + fuzz::piece_of(pieces) + '\0' +
            fuzz::piece_of("\3xxx"));
}

void write_head_machine(const std::vector<wire::Message>& all) {
  std::map<std::string, std::string> said;
  for (const wire::Message& message : all) said[wire::name_of(message)] = fuzz::piece_of(text_of(message));
  const auto says = [&](char who, const std::string& name) { return who + said.at(name); };
  const std::string begin = says('\3', "NodeState") + says('\1', "OpenPool") + says('\1', "SubmitJobs");
  std::string open = fuzz::piece_of(text_of(wire::NodeState{{{0, "cpu", 0}}, {}, {}, {}}));
  open = '\3' + open + says('\1', "OpenPool") + says('\1', "SubmitJobs") + says('\3', "WorkerReady");
  write("head_machine", "map", open + says('\3', "JobsDone") + says('\1', "AckOutcomes") + says('\1', "ClosePool"));
  write("head_machine", "error", open + says('\3', "JobFailed") + says('\3', "WorkerExited"));
  write("head_machine", "update", open + says('\1', "AddUpdate") + says('\3', "UpdatesApplied"));
  write("head_machine", "node_lost", open + "\x83" + std::string(3, '\0') + "\x83" + says('\3', "NodeState"));
  write("head_machine", "client_lost", open + "\x81\x81" + says('\1', "ResumePool") + says('\1', "PoolResumed"));
  write("head_machine", "parked", open + says('\3', "JobsParked") + says('\3', "JobsDone") + says('\3', "ResultsFull"));
  const std::string attached = says('\1', "OpenPool") + says('\1', "WantOutcomes") + says('\1', "SubmitJobs");
  write("head_machine", "named",
        says('\3', "NodeState") + attached + says('\5', "SeeOutcomes") + says('\1', "AckOutcomes") +
            says('\2', "OpenPool") + says('\1', "ClosePool") + says('\2', "OpenPool"));
  write("head_machine", "named_lost", attached + "\x81\x81" + says('\1', "ResumePool") + says('\1', "RepairPool"));
  write("head_machine", "leaving",
        begin + says('\3', "NodeLeaving") + says('\3', "JobsRecalled") + says('\3', "Goodbye"));
  // Somebody says something made up: who, which message, and what its fields are drawn by.
  std::string made_up = says('\3', "NodeState") + says('\4', "NodeState") + says('\1', "OpenPool");
  for (int i = 0; i < 200; ++i) {
    made_up += '\x80';
    for (int j = 0; j < 12; ++j) made_up += static_cast<char>((i * 31 + j * 7 + i * j) & 0x7f);
  }
  write("head_machine", "made_up", made_up);
  std::string everything;
  for (const auto& [name, text] : said) everything += says('\1', name) + says('\3', name) + says('\5', name);
  write("head_machine", "everything", everything);
}

}  // namespace

int main(int count, char** arguments) {
  if (count != 2) return std::cerr << "usage: fuzz_seeds FOLDER\n", 2;
  folder = arguments[1];
  const auto all = all_messages();
  for (const wire::Message& message : all) write("messages", wire::name_of(message), text_of(message));
  write_frames();
  write_handshake();
  write_worker_socket();
  write_head_machine(all);
}
