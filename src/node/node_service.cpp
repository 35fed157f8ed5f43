// Sessions and processes in, effects out: one flush of the machine per turn of the loop.
#include "node/node_service.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <csignal>
#include <map>
#include <memory>
#include <thread>
#include <utility>
#include <vector>

#include "core/log.hpp"
#include "core/paths.hpp"
#include "node/line_printer.hpp"
#include "node/node_machine.hpp"
#include "node/oom_watch.hpp"
#include "node/program_cache.hpp"
#include "node/worker_link.hpp"

namespace dc::node {
namespace {

constexpr std::size_t forward_queue_bytes_max = std::size_t{8} << 20;
constexpr int exit_left = 0, exit_error = 1, exit_rejected = 3;

/// Large payloads land in memory files, which go on to the workers by descriptor: one copy per machine.
Result<wire::Assembly> allocate_in_memory_file(std::uint64_t bytes) {
  try {
    wire::MemoryFile file = wire::make_memory_file(bytes);
    return wire::Assembly{file.memory, std::move(file.payload)};
  } catch (const std::exception& error) {
    return fail(ErrorCode::too_large, error.what());
  }
}

class NodeService {
 public:
  explicit NodeService(NodeOptions options)
      : options_(std::move(options)),
        host_(net::host_name()),
        cache_(paths::cache_dir() + "/programs"),
        machine_(facts()),
        open_files_(raise_open_files_limit()) {}

  int run() {
    std::signal(SIGPIPE, SIG_IGN);  // a reader of our output that goes away must not end the jobs
    signals_ = loop_.on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { stop(signal); });
    net::ConnectOptions connect;
    connect.address = options_.address;
    connect.port = options_.port;
    connect.unix_path = paths::head_socket(options_.port);
    connect.fingerprint = options_.fingerprint;
    connect.known_heads = paths::known_heads();
    connect.secret = options_.secret;
    connect.role = wire::Role::node;
    connect.id = net::random_id();
    connect.allocate = allocate_in_memory_file;
    connector_ = net::connect(loop_, std::move(connect), handler());
    loop_.run();
    connector_.reset();
    for (const auto& [id, link] : links_) link->signal_group(SIGKILL);  // all first, then each is waited for
    links_.clear();
    return exit_code_;
  }

 private:
  static TimePoint now() { return net::EventLoop::now(); }

  NodeFacts facts() const {
    NodeFacts facts{host_, {}, cache_.list()};
    for (std::uint32_t slot = 0; slot < options_.workers; ++slot) facts.slots.push_back({slot, "cpu", 0});
    return facts;
  }

  // --- The head -------------------------------------------------------------------------------------------------

  net::Connector::Handler handler() {
    net::Connector::Handler handler;
    handler.session.on_open = [this](net::Session& session) {
      log::info("joined the head at {} ({})", session.peer().head, session.peer().address);
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
      // What was meant for this session must not be the first thing that the next one hears.
      std::erase_if(effects_, [](const Effect& effect) { return std::holds_alternative<ToHead>(effect); });
      if (!stopping_ && !std::exchange(outage_said_, true))
        log::warning("lost the head: {}. Trying again.", why.message);
      schedule_flush();
    };
    handler.on_retry = [this](const Error& error, int) {
      if (!stopping_ && !std::exchange(outage_said_, true)) log::warning("{} Trying again.", error.message);
    };
    handler.on_final = [this](const Error& error) {
      log::error("{}", error.message);
      exit_code_ = error.code == ErrorCode::rejected ? exit_rejected : exit_error;
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
    for (std::size_t i = 0; i < effects_.size(); ++i) {  // carrying one out may cause others
      Effect effect = std::move(effects_[i]);
      std::visit([this](auto& body) { carry_out(body); }, effect);
    }
    effects_.clear();
    for (const WorkerId id : std::exchange(to_send_, {})) {
      if (const auto link = links_.find(id); link != links_.end()) link->second->send();
    }
    ended_links_.clear();
    const TimePoint next = machine_.next_deadline();
    if (next == never || (timer_ && armed_for_ <= next)) return;
    armed_for_ = next;
    timer_ = loop_.call_at(next, [this] {
      timer_.reset();
      schedule_flush();
    });
  }

  void carry_out(ToHead& effect) {
    net::Session* session = connector_->session();
    if (!session) return;  // what counts is kept, and reported in the next session
    if (auto* output = std::get_if<wire::OutputLines>(&effect.message); output && !may_forward(*output, *session))
      return;
    session->send(std::move(effect.message), effect.lane);
  }

  /// Output never piles up in front of results: over a bound it is dropped, and the next lines say how many.
  bool may_forward(wire::OutputLines& output, const net::Session& session) {
    std::size_t& dropped = lines_dropped_[output.slot];
    if (session.queued_bytes() > forward_queue_bytes_max) {
      dropped += output.lines.size();
      return false;
    }
    if (dropped > 0) {
      const std::string note =
          fmt::format("[{} lines were dropped: the connection was busy]", std::exchange(dropped, 0));
      output.lines.insert(output.lines.begin(), note);
    }
    return true;
  }

  void carry_out(ToWorker& effect) {
    const auto link = links_.find(effect.worker);
    if (link == links_.end()) return;
    if (!link->second->has_unsent()) to_send_.push_back(effect.worker);
    link->second->queue(effect.message);
  }

  void carry_out(SignalWorker& effect) {
    if (const auto link = links_.find(effect.worker); link != links_.end()) link->second->signal_group(effect.signal);
  }

  /// On a thread of its own: a slow disk must not cost us the session.
  void carry_out(StoreProgram& effect) {
    storing_.emplace_back([this, hash = std::move(effect.hash), program = std::move(effect.program)] {
      std::string problem = cache_.store(hash, program);
      loop_.post([this, hash, problem = std::move(problem)] {
        machine_.program_stored(hash, problem, now(), effects_);
        schedule_flush();
      });
    });
  }

  void carry_out(Left&) {
    connector_->shut_down("the node is leaving", [this] { loop_.stop(); });
  }

  void carry_out(SpawnWorker& effect) {
    schedule_flush();  // the machine has new deadlines
    const WorkerId id = effect.worker;
    const auto refuse = [&](std::string why) { machine_.worker_exited(id, {{}, {}, {}, std::move(why)}, effects_); };
    SpawnOptions spawn;
    spawn.secret = options_.secret.password;
    spawn.open_files = open_files_;
    spawn.environment = {"DISTRIBUTED_COMPUTING_WORKER=1", fmt::format("DISTRIBUTED_COMPUTING_SLOT={}", effect.slot)};
    if (effect.options.language == Language::cpp) {
      const std::string& hash = effect.options.program_hash;
      if (!cache_.use(hash)) return machine_.program_missing(id, now(), effects_);
      spawn.command = {cache_.path(hash)};
    } else if (options_.python.empty()) {
      return refuse("the node found no Python interpreter: start it with --python and the path of one");
    } else {
      spawn.command = {options_.python, "-m", "distributed_computing.worker_main"};
    }
    auto process = WorkerProcess::spawn(spawn);
    if (!process) return refuse(process.error().message);
    auto link = std::make_unique<WorkerLink>(loop_, std::move(process.value()), link_handler(id, effect.slot));
    const WorkerProcess& born = link->process();
    log::debug("slot {}: worker process {} for {}", effect.slot, born.pid(), effect.options.label);
    links_[id] = std::move(link);
    machine_.worker_spawned(id, born.pid(), born.claims(), now(), effects_);
  }

  // --- Workers --------------------------------------------------------------------------------------------------

  WorkerLink::Handler link_handler(WorkerId id, std::uint32_t slot) {
    WorkerLink::Handler handler;
    handler.on_messages = [this, id](std::vector<wire::FromWorker>&& messages) {
      machine_.on_worker_messages(id, std::move(messages), now(), effects_);
      schedule_flush();
    };
    handler.on_lines = [this, id, prefix = fmt::format("[{}/{}] ", host_, slot)](std::vector<std::string>&& lines) {
      if (options_.prefix_output) printer_.print(prefix, lines);
      machine_.worker_printed(id, std::move(lines), effects_);
      schedule_flush();
    };
    handler.on_hang_up = [this, id] {
      machine_.worker_hung_up(id, now());
      schedule_flush();
    };
    handler.on_broken = [this, id, slot](std::string why) {
      log::error("slot {}: the channel to the worker broke: {}", slot, why);
      machine_.channel_broke(id, std::move(why), now(), effects_);
      schedule_flush();
    };
    handler.on_end = [this, id](ProcessEnd end) {
      end.out_of_memory = oom_.advanced() && end.signal == SIGKILL;
      machine_.worker_exited(id, end, effects_);
      const auto link = links_.find(id);
      ended_links_.push_back(std::move(link->second));  // it is calling us: destroyed after the turn
      links_.erase(link);
      schedule_flush();
    };
    return handler;
  }

  // --- The end --------------------------------------------------------------------------------------------------

  void stop(int signal) {
    if (std::exchange(stopping_, true)) {
      log::warning("second signal: leaving at once");
      exit_code_ = exit_error;
      return loop_.stop();
    }
    const bool in_order = signal == SIGTERM;
    log::info("leaving{}", in_order ? fmt::format(": running jobs have {} s to finish", options_.drain_timeout.count())
                                    : "; running jobs go elsewhere");
    machine_.leave("the node was asked to leave", in_order ? now() + options_.drain_timeout : now(), effects_);
    schedule_flush();
  }

  NodeOptions options_;
  std::string host_;
  ProgramCache cache_;
  net::EventLoop loop_;
  NodeMachine machine_;
  LinePrinter printer_{STDOUT_FILENO};
  std::optional<rlimit> open_files_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::EventLoop::SignalWatch> signals_;
  std::unique_ptr<net::Timer> timer_;
  TimePoint armed_for_ = never;
  OomWatch oom_;
  std::map<WorkerId, std::unique_ptr<WorkerLink>> links_;
  std::vector<std::unique_ptr<WorkerLink>> ended_links_;
  std::vector<WorkerId> to_send_;
  std::map<std::uint32_t, std::size_t> lines_dropped_;  ///< by slot
  Effects effects_;
  bool flush_scheduled_ = false, stopping_ = false, outage_said_ = false;
  int exit_code_ = exit_left;
  std::vector<std::jthread> storing_;  ///< last: they use what is above
};

}  // namespace

int run_node(NodeOptions options) {
  log::set_up("node");
  return NodeService(std::move(options)).run();
}

}  // namespace dc::node
