// A worker's bytes against its node: packets through a real socket, as WorkerLink reads them, into a NodeMachine with
// jobs and updates under way. And the node's bytes against the worker's decoder.
#include <sys/socket.h>
#include <unistd.h>

#include <array>
#include <csignal>

#include "input.hpp"
#include "node/node_machine.hpp"
#include "wire/memory_file.hpp"
#include "wire/packet.hpp"

using namespace dc;
using namespace std::chrono_literals;

namespace {

constexpr PoolId pool{10};
constexpr WorkerId worker{1};

class Scene {
 public:
  Scene() {
    machine_.session_opened(now_, effects_);
    PoolOptions options;
    options.job_timeout = options.init_timeout = options.update_timeout = 10s;
    hear(wire::OpenPoolHere{pool, options, Payload::copy("spec")});
    hear(wire::PoolUpdate{pool, 1, Payload::copy("u1")});
    hear(wire::StartWorker{worker, pool, 0, 0});
    machine_.worker_spawned(worker, 4711, &claims_, now_, effects_);
    wire::RunJobs jobs{worker, {}};
    for (JobSequence i = 1; i <= 20; ++i) jobs.items.push_back({{i, {7, 1}}, 0, Payload::copy("x")});
    hear(std::move(jobs));
    turn();
  }
  void hear(wire::Message message) {
    std::vector<wire::Message> messages;
    messages.push_back(std::move(message));
    machine_.on_messages(std::move(messages), now_, effects_);
  }
  void say(std::vector<wire::FromWorker>&& messages) {
    machine_.on_worker_messages(worker, std::move(messages), now_, effects_);
  }
  void start_job(std::uint8_t index) { claims_.start(index, 1); }
  void complain(const char* why) { machine_.channel_broke(worker, why, now_, effects_); }
  void exit() { machine_.worker_exited(worker, {{}, SIGKILL, {}, {}}, effects_); }
  void turn() {
    now_ += 100ms;
    machine_.flush(now_, effects_);
    for (const node::Effect& effect : effects_) check(effect);
    effects_.clear();
  }

 private:
  /// Whatever the worker says: each job has one outcome at most, and none that it was not given.
  void check(const node::Effect& effect) {
    const auto* to_head = std::get_if<node::ToHead>(&effect);
    if (!to_head) return;
    if (const auto* done = std::get_if<wire::JobsDone>(&*to_head->message)) {
      for (const wire::FinishedItem& item : done->items) finished(item.attempt);
    }
    if (const auto* failed = std::get_if<wire::JobFailed>(&*to_head->message)) finished(failed->attempt);
  }
  void finished(const Attempt& attempt) {
    if (attempt.sequence < 1 || attempt.sequence > 20 || attempt.token != Token{7, 1})
      fuzz::broken("a result of a job that the worker was not given");
    if (std::exchange(done_[attempt.sequence], true)) fuzz::broken("two results of one job");
  }

  wire::Claims claims_{};
  TimePoint now_ = TimePoint{} + 1h;
  node::NodeMachine machine_{node::NodeFacts{"here", {{0, "cpu", 0}}, {}}};
  node::Effects effects_;
  std::array<bool, 21> done_{};
};

struct SocketPair {
  SocketPair() {
    if (::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, ends) != 0) std::abort();
  }
  ~SocketPair() {
    ::close(ends[0]);
    ::close(ends[1]);
  }
  SocketPair(const SocketPair&) = delete;
  SocketPair& operator=(const SocketPair&) = delete;
  int ends[2];
};

/// One side's way to the other. What it says travels byte for byte, with or without a descriptor.
template <class T>
class Channel {
 public:
  std::vector<T> carry(std::string_view bytes, std::size_t files, const Payload& file) {
    iovec data{const_cast<char*>(bytes.data()), bytes.size()};
    alignas(cmsghdr) std::array<char, CMSG_SPACE(2 * sizeof(int))> control{};
    msghdr header{};
    header.msg_iov = &data;
    header.msg_iovlen = 1;
    if (files > 0) {
      header.msg_control = control.data();
      header.msg_controllen = CMSG_SPACE(files * sizeof(int));
      cmsghdr* message = CMSG_FIRSTHDR(&header);
      message->cmsg_level = SOL_SOCKET;
      message->cmsg_type = SCM_RIGHTS;
      message->cmsg_len = CMSG_LEN(files * sizeof(int));
      for (std::size_t i = 0; i < files; ++i) reinterpret_cast<int*>(CMSG_DATA(message))[i] = file.memory_file();
    }
    ::sendmsg(pair_.ends[0], &header, MSG_DONTWAIT);
    std::vector<T> messages;
    while (reader_.receive(false, messages) == wire::SocketResult::done) {
    }
    return messages;
  }

 private:
  SocketPair pair_;
  wire::PacketReader<T> reader_{pair_.ends[1]};
};

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  static const Payload file = wire::make_memory_file(limits::inline_payload_max + 1);
  fuzz::Input input(data, size);
  Scene scene;
  Channel<wire::ToWorker> to_worker;
  Channel<wire::FromWorker> from_worker;
  bool usable = true;
  while (!input.empty()) {
    const std::uint8_t choice = input.byte();
    if (choice >= 0xf0) scene.start_job(choice & 15);
    if (choice == 0xef) scene.exit();
    const std::string_view bytes = input.piece();
    if (bytes.empty()) continue;
    try {
      to_worker.carry(bytes, choice % 3, file);
    } catch (const std::exception&) {  // the worker ends
    }
    try {
      if (usable) scene.say(from_worker.carry(bytes, choice % 3, file));
    } catch (const std::exception& error) {  // as WorkerLink does
      scene.complain(error.what());
      usable = false;
    }
    scene.turn();
  }
  return 0;
}
