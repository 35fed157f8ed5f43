// Sessions and processes in, effects out: one flush of the machine per turn of the loop.
#include "node/node_service.hpp"

#include <fmt/format.h>
#include <limits.h>
#include <poll.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <csignal>
#include <deque>
#include <map>
#include <memory>
#include <utility>

#include "core/log.hpp"
#include "core/paths.hpp"
#include "node/node_machine.hpp"
#include "node/output_lines.hpp"
#include "node/program_cache.hpp"
#include "node/worker_process.hpp"
#include "wire/packet.hpp"

namespace dc::node {
namespace {

constexpr std::size_t forward_queue_bytes_max = std::size_t{8} << 20;

Result<wire::Assembly> allocate_in_memory_file(std::uint64_t bytes) {
  try {
    wire::MemoryFile file = wire::make_memory_file(bytes);
    return wire::Assembly{file.memory, std::move(file.payload)};
  } catch (const std::exception& error) {
    return fail(ErrorCode::too_large, error.what());
  }
}

/// What a full pipe does not take is lost rather than waited for: the node must go on.
void print_without_waiting(std::string_view text) {
  pollfd ready{STDOUT_FILENO, POLLOUT, 0};
  while (!text.empty() && ::poll(&ready, 1, 0) == 1 && (ready.revents & POLLOUT)) {
    const ssize_t written = ::write(STDOUT_FILENO, text.data(), std::min<std::size_t>(text.size(), PIPE_BUF));
    if (written <= 0) return;
    text.remove_prefix(static_cast<std::size_t>(written));
  }
}

/// A process with what waits to be sent to it and what it prints.
struct Running {
  std::unique_ptr<WorkerProcess> process;
  std::uint32_t slot{};
  std::unique_ptr<net::FdWatch> socket, pidfd, output;
  struct Outgoing {
    wire::Packet packet;
    UpdateNumber update = 0;  ///< latest update inside
  };
  std::deque<Outgoing> outgoing;
  std::vector<wire::Packet> filling;
  UpdateNumber filling_update = 0;
  bool blocked = false, socket_closed = false;
  OutputLines lines;
};

class NodeService {
 public:
  explicit NodeService(NodeOptions options)
      : options_(std::move(options)), cache_(paths::cache_dir() + "/programs"), machine_(facts()) {}

  int run() {
    signals_ = loop_.on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { stop(signal); });
    net::ConnectOptions connect;
    connect.address = options_.address;
    connect.port = options_.port;
    connect.unix_path = paths::head_socket(options_.port);
    connect.secret = options_.secret;
    connect.role = wire::Role::node;
    connect.id = net::random_id();
    connect.allocate = allocate_in_memory_file;
    connector_ = net::connect(loop_, std::move(connect), handler());
    loop_.run();
    connector_.reset();
    workers_.clear();
    return exit_code_;
  }

 private:
  NodeFacts facts() const {
    NodeFacts facts{net::host_name(), {}, cache_.list()};
    for (std::uint32_t slot = 0; slot < options_.workers; ++slot) facts.slots.push_back({slot, "cpu", 0});
    return facts;
  }
  static TimePoint now() { return net::EventLoop::now(); }

  net::Connector::Handler handler() {
    net::Connector::Handler handler;
    handler.session.on_open = [this](net::Session& session) {
      log::info("joined the head at {}:{} ({})", options_.address, options_.port, session.peer().address);
      outage_said_ = false;
      machine_.session_opened(now(), effects_);
      schedule_flush();
    };
    handler.session.on_messages = [this](net::Session&, std::vector<wire::Message>&& messages) {
      machine_.on_messages(std::move(messages), now(), effects_);
      schedule_flush();
    };
    handler.session.on_close = [this](SessionId, const Error& why) {
      machine_.session_closed();
      if (!stopping_) log::warning("lost the head: {}; trying again", why.message);
      outage_said_ = true;
    };
    handler.on_retry = [this](const Error& error, int) {
      if (!std::exchange(outage_said_, true)) log::warning("{} Trying again.", error.message);
      schedule_flush();
    };
    handler.on_final = [this](const Error& error) {
      log::error("{}", error.message);
      exit_code_ = error.code == ErrorCode::rejected ? 3 : 1;
      loop_.stop();
    };
    return handler;
  }

  // --- Effects --------------------------------------------------------------------------------------------------

  void schedule_flush() {
    if (std::exchange(flush_scheduled_, true)) return;
    loop_.at_turn_end([this] { flush(); });
  }

  void flush() {
    flush_scheduled_ = false;
    machine_.flush(now(), effects_);
    // Carrying out an effect may cause others.
    for (std::size_t i = 0; i < effects_.size(); ++i) {
      Effect effect = std::move(effects_[i]);
      std::visit([this](auto& body) { carry_out(body); }, effect);
    }
    effects_.clear();
    for (const WorkerId id : std::exchange(to_send_, {})) {
      if (const auto found = workers_.find(id); found != workers_.end()) send_packets(*found->second);
    }
    const TimePoint next = machine_.next_deadline();
    timer_ = next == never ? nullptr : loop_.call_at(next, [this] { schedule_flush(); });
  }

  void carry_out(ToHead& effect) {
    net::Session* session = connector_->session();
    if (!session) return;
    if (std::holds_alternative<wire::OutputLines>(effect.message) && session->queued_bytes() > forward_queue_bytes_max)
      return;
    session->send(std::move(effect.message), effect.lane);
  }

  void carry_out(ToWorker& effect) {
    const auto found = workers_.find(effect.worker);
    if (found == workers_.end()) return;
    Running& running = *found->second;
    if (running.filling.empty()) to_send_.push_back(effect.worker);
    if (const auto* update = std::get_if<wire::WorkerUpdate>(&effect.message)) running.filling_update = update->number;
    try {
      wire::append(running.filling, effect.message);
    } catch (const std::exception& error) {
      log::error("slot {}: {}", running.slot, error.what());
      running.process->signal_group(SIGKILL);
    }
  }

  void carry_out(SignalWorker& effect) {
    if (const auto found = workers_.find(effect.worker); found != workers_.end())
      found->second->process->signal_group(effect.signal);
  }

  void carry_out(StoreProgram& effect) {
    const std::string problem = cache_.store(effect.hash, effect.program);
    machine_.program_stored(effect.hash, problem, now(), effects_);
  }

  void carry_out(Left&) {
    connector_->shut_down("the node is leaving", [this] { loop_.stop(); });
  }

  void carry_out(SpawnWorker& effect) {
    SpawnOptions spawn;
    spawn.secret = options_.secret.password.size() >= 4 ? options_.secret.password : "";
    spawn.environment = {"DISTRIBUTED_COMPUTING_WORKER=1", fmt::format("DISTRIBUTED_COMPUTING_SLOT={}", effect.slot)};
    if (effect.options.language == Language::cpp) {
      spawn.command = {cache_.path(effect.options.program_hash)};
    } else if (options_.python.empty()) {
      return machine_.worker_exited(effect.worker,
                                    {{},
                                     {},
                                     {},
                                     "no Python interpreter was found beside start_node: start the "
                                     "node with --python /path/to/python"},
                                    effects_);
    } else {
      spawn.command = {options_.python, "-m", "distributed_computing.worker_main"};
    }
    auto process = WorkerProcess::spawn(spawn);
    if (!process) return machine_.worker_exited(effect.worker, {{}, {}, {}, process.error().message}, effects_);
    auto running = std::make_unique<Running>();
    running->process = std::move(process.value());
    running->slot = effect.slot;
    watch(effect.worker, *running);
    const WorkerProcess& born = *running->process;
    workers_[effect.worker] = std::move(running);
    machine_.worker_spawned(effect.worker, born.pid(), born.claims(), now(), effects_);
  }

  // --- Worker processes -----------------------------------------------------------------------------------------

  void watch(WorkerId id, Running& running) {
    const WorkerProcess& process = *running.process;
    running.socket = loop_.watch(
        process.socket(), [this, id] { read_socket(id); },
        [this, id] {
          if (const auto found = workers_.find(id); found != workers_.end()) send_packets(*found->second);
        });
    running.output = loop_.watch(process.output(), [this, id] { read_output(id); });
    running.pidfd = loop_.watch(process.pidfd(), [this, id] { ended(id); });
  }

  void send_packets(Running& running) {
    for (wire::Packet& packet : running.filling) running.outgoing.push_back({std::move(packet), 0});
    if (!running.filling.empty()) running.outgoing.back().update = running.filling_update;
    running.filling.clear();
    while (!running.outgoing.empty() && !running.socket_closed) {
      const auto sent = wire::send_packet(running.process->socket(), running.outgoing.front().packet, false);
      if (sent == wire::SocketResult::would_block) break;
      if (sent == wire::SocketResult::closed) running.socket_closed = true;  // its pidfd tells the rest
      if (const UpdateNumber update = running.outgoing.front().update)
        running.process->claims()->update_sent.store(update);
      running.outgoing.pop_front();
    }
    const bool blocked = !running.outgoing.empty() && !running.socket_closed;
    if (blocked != std::exchange(running.blocked, blocked)) running.socket->want_write(blocked);
  }

  /// Reads what is there; true when the worker has closed its end.
  bool drain_socket(WorkerId id, Running& running) {
    std::vector<wire::FromWorker> messages;
    auto result = wire::SocketResult::done;
    try {
      for (int i = 0; i < 16 && result == wire::SocketResult::done; ++i) {
        result = wire::receive_packet(running.process->socket(), false, messages);
      }
    } catch (const std::exception& error) {
      log::error("slot {}: the worker broke the protocol ({}): killed", running.slot, error.what());
      running.process->signal_group(SIGKILL);
      result = wire::SocketResult::closed;
    }
    if (!messages.empty()) machine_.on_worker_messages(id, std::move(messages), now(), effects_);
    schedule_flush();
    if (result == wire::SocketResult::done) return drain_socket(id, running);
    return result == wire::SocketResult::closed;
  }

  void read_socket(WorkerId id) {
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    if (drain_socket(id, *found->second)) found->second->socket->want_read(false);
  }

  /// True at the end of the pipe.
  bool drain_output(WorkerId id, Running& running, int reads) {
    std::vector<std::string> lines;
    std::array<char, 65536> buffer;
    ssize_t size = -1;
    for (int i = 0; i < reads && (size = ::read(running.process->output(), buffer.data(), buffer.size())) > 0; ++i) {
      running.lines.feed({buffer.data(), static_cast<std::size_t>(size)}, lines);
    }
    show(id, running, std::move(lines));
    return size == 0;
  }

  void show(WorkerId id, Running& running, std::vector<std::string> lines) {
    if (lines.empty()) return;
    if (options_.prefix_output) {
      std::string text;
      for (const std::string& line : lines) text += fmt::format("[{}/{}] {}\n", net::host_name(), running.slot, line);
      print_without_waiting(text);
    }
    machine_.worker_printed(id, std::move(lines), effects_);
    schedule_flush();
  }

  void read_output(WorkerId id) {
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    if (drain_output(id, *found->second, 4)) found->second->output->want_read(false);
  }

  void ended(WorkerId id) {
    const auto found = workers_.find(id);
    if (found == workers_.end()) return;
    Running& running = *found->second;
    drain_socket(id, running);  // results that were sent before the end count
    const WorkerProcess::End end = running.process->reap();
    drain_output(id, running, 1 << 20);
    std::vector<std::string> rest;
    running.lines.finish(rest);
    if (!rest.empty() && !rest.front().empty()) show(id, running, rest);
    ProcessEnd ended{{}, {}, running.lines.tail(), {}};
    if (end.signal != 0)
      ended.signal = end.signal;
    else
      ended.exit_status = end.exit_status;
    machine_.worker_exited(id, ended, effects_);
    workers_.erase(found);
    schedule_flush();
  }

  // --- The end --------------------------------------------------------------------------------------------------

  void stop(int signal) {
    const bool again = std::exchange(stopping_, true);
    const bool in_order = signal == SIGTERM && !again;
    log::info("signal {}: leaving{}", signal, in_order ? " when running jobs are finished" : " at once");
    machine_.leave("signal", in_order ? now() + options_.drain_timeout : now(), effects_);
    schedule_flush();
    if (!again) return;
    loop_.stop();  // workers die with their processes' owners
  }

  NodeOptions options_;
  ProgramCache cache_;
  net::EventLoop loop_;
  NodeMachine machine_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::EventLoop::SignalWatch> signals_;
  std::unique_ptr<net::Timer> timer_;
  std::map<WorkerId, std::unique_ptr<Running>> workers_;
  std::vector<WorkerId> to_send_;
  Effects effects_;
  bool flush_scheduled_ = false, stopping_ = false, outage_said_ = false;
  int exit_code_ = 0;
};

}  // namespace

int run_node(NodeOptions options) {
  log::set_up("node");
  return NodeService(std::move(options)).run();
}

}  // namespace dc::node
