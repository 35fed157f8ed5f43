// Sessions and processes in, effects out: one flush of the machine per turn of the loop.
#include "node/node_service.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <map>
#include <memory>
#include <utility>
#include <vector>

#include "core/held_signals.hpp"
#include "core/log.hpp"
#include "core/open_files.hpp"
#include "core/paths.hpp"
#include "node/cache_thread.hpp"
#include "node/death_book.hpp"
#include "node/effect_queue.hpp"
#include "node/node_machine.hpp"
#include "node/node_output.hpp"
#include "node/oom_watch.hpp"
#include "node/python_worker.hpp"
#include "node/stop_machine.hpp"
#include "node/worker_environment.hpp"
#include "node/worker_link.hpp"
#include "wire/output_limit.hpp"

namespace dc::node {
namespace {

constexpr int exit_left = 0, exit_error = 1, exit_rejected = 3;
constexpr auto silence_check = std::chrono::seconds(5);

std::string program_directory() { return paths::cache_dir() + "/programs"; }

class NodeService {
 public:
  NodeService(NodeOptions options, std::unique_ptr<Devices> devices)
      : options_(std::move(options)),
        host_(net::host_name()),
        directory_(working_directory()),
        devices_(std::move(devices)),
        cache_(loop_, program_directory()),
        output_(loop_, host_, options_.prefix_output),
        machine_(facts()),
        stop_(options_.head_timeout),
        open_files_(raise_open_files_limit()) {}

  int run() {
    std::signal(SIGPIPE, SIG_IGN);  // a reader of our output that goes away must not end the jobs
    signals_ = loop_.on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { stop(signal); });
    release_signals();
    net::ConnectOptions connect;
    connect.address = options_.address;
    connect.port = options_.port;
    connect.unix_path = paths::head_socket(options_.port);
    connect.fingerprint = options_.fingerprint;
    connect.known_heads = paths::known_heads();
    connect.secret = options_.secret;
    connect.role = wire::Role::node;
    connect.id = net::random_id();
    connect.allocate = wire::allocate_memory_file;  // they go on to the workers by descriptor: one copy per machine
    devices_->watch(loop_, [this](const gpu::Inventory& inventory) { devices_seen(inventory); });
    if (devices_->watched()) listen_for_silence();
    connector_ = net::connect(loop_, std::move(connect), handler());
    loop_.run();
    devices_->stop_watching();
    connector_.reset();
    for (const auto& [id, link] : links_) link->signal_group(SIGKILL);  // all first, then each is waited for
    links_.clear();
    return exit_code_;
  }

 private:
  static TimePoint now() { return net::EventLoop::now(); }

  NodeFacts facts() const {
    return {host_, devices_->plan().slots, ProgramCache(program_directory()).list(), devices_->plan().devices};
  }

  // --- The head -------------------------------------------------------------------------------------------------

  net::Connector::Handler handler() {
    net::Connector::Handler handler;
    handler.session.on_open = [this](net::Session& session) {
      log::info("joined the head at {} ({})", session.peer().head, session.peer().address);
      outage_said_ = false;
      stop_.head_is_here();
      machine_.session_opened(now(), effects_.back());
      schedule_flush();
    };
    handler.session.on_messages = [this](net::Session&, std::vector<wire::Message>&& messages) {
      machine_.on_messages(std::move(messages), now(), effects_.back());
      schedule_flush();
    };
    handler.session.on_close = [this](SessionId, const Error& why) {
      machine_.session_closed();
      effects_.session_closed();
      if (!stop_.stopping() && !std::exchange(outage_said_, true))
        log::warning("lost the head: {}. Trying again.", why.message);
      stop_.head_is_gone(why.code == ErrorCode::left, now());
      schedule_flush();
    };
    handler.on_retry = [this](const Error& error, int) {
      if (!stop_.stopping() && !std::exchange(outage_said_, true)) log::warning("{} Trying again.", error.message);
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
    take(stop_.look(now()));
    bury(deaths_.due(now()));
    machine_.flush(now(), effects_.back());
    effects_.carry_out([this](auto& body) { carry_out(body); });
    for (const WorkerId id : std::exchange(to_send_, {})) {
      if (const auto link = links_.find(id); link != links_.end()) link->second->send();
    }
    ended_links_.clear();
    const TimePoint next = std::min({machine_.next_deadline(), deaths_.next_deadline(), stop_.next_deadline()});
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
    if (auto* output = std::get_if<wire::OutputLines>(&*effect.message);
        output && !output_limit_.admit(*output, session->queued_bytes()))
      return;
    session->send(std::move(*effect.message), effect.lane);
  }

  void carry_out(RefuseHead& effect) {
    log::error("the head broke the protocol ({}): session closed", effect.what);
    if (net::Session* session = connector_->session())
      session->close(fmt::format("you broke the protocol ({})", effect.what));
  }

  void carry_out(ToWorker& effect) {
    const auto link = links_.find(effect.worker);
    if (link == links_.end()) return;
    if (!link->second->has_unsent()) to_send_.push_back(effect.worker);
    link->second->queue(std::move(effect.message));
  }

  void carry_out(SignalWorker& effect) {
    if (const auto link = links_.find(effect.worker); link != links_.end()) link->second->signal_group(effect.signal);
  }

  void carry_out(StoreProgram& effect) {
    cache_.store(effect.hash, std::move(effect.program), [this, hash = effect.hash](const std::string& problem) {
      machine_.program_stored(hash, problem, now(), effects_.back());
      schedule_flush();
    });
  }

  void carry_out(CheckProgram& effect) {
    cache_.check(effect.hash, [this, hash = effect.hash](bool sound) {
      if (!sound) log::warning("program {} in {} was damaged or gone: it is fetched again", hash, cache_.path(""));
      machine_.program_checked(hash, sound, now(), effects_.back());
      schedule_flush();
    });
  }

  void carry_out(UseProgram& effect) {
    cache_.use(effect.hash, [this, id = effect.worker](bool usable) {
      usable ? machine_.program_usable(id, now(), effects_.back())
             : machine_.program_missing(id, now(), effects_.back());
      schedule_flush();
    });
  }

  void carry_out(LookAtDevices&) { devices_->look(); }

  void carry_out(Left&) {
    connector_->shut_down("the node is leaving", [this] { loop_.stop(); });
  }

  void carry_out(SpawnWorker& effect) {
    schedule_flush();  // the machine has new deadlines
    const WorkerId id = effect.worker;
    const auto refuse = [&](std::string why) {
      machine_.worker_exited(id, {{}, {}, {}, std::move(why)}, effects_.back());
    };
    SpawnOptions spawn;
    spawn.secrets = options_.kept_from_workers;
    spawn.open_files = open_files_;
    std::vector<std::uint32_t> slots{effect.slot};
    slots.insert(slots.end(), effect.more_slots.begin(), effect.more_slots.end());
    spawn.environment =
        worker_environment(devices_->environment(slots, effect.options->device == DeviceWish::cpu),
                           {id, host_, options_.name, effect.slot, devices_->name_of(slots), effect.pool_name},
                           *effect.options, devices_->threads(slots));
    spawn.cpus = devices_->cpus(slots);
    if (effect.options->language == Language::cpp) {
      spawn.command = {cache_.path(effect.options->program_hash)};
    } else if (options_.python.empty()) {
      return refuse("the node found no Python interpreter: start it with --python and the path of one");
    } else {
      spawn.command = python_worker_command(options_.python, directory_);
      spawn.directory = python_start_directory;
    }
    WorkerLink::Output output = output_.of_worker(effect.pool, effect.options->forward_output);
    spawn.output_token = output.token;
    auto process = WorkerProcess::spawn(spawn);
    if (!process) return refuse(process.error().message);
    auto link = std::make_unique<WorkerLink>(loop_, std::move(process.value()), link_handler(id, effect.slot),
                                             std::move(output));
    const WorkerProcess& born = link->process();
    say_born(effect, born.pid(), slots);
    links_[id] = std::move(link);
    machine_.worker_spawned(id, born.pid(), born.claims(), now(), effects_.back());
  }

  // --- Workers --------------------------------------------------------------------------------------------------

  WorkerLink::Handler link_handler(WorkerId id, std::uint32_t slot) {
    WorkerLink::Handler handler;
    handler.on_messages = [this, id](std::vector<wire::FromWorker>&& messages) {
      machine_.on_worker_messages(id, std::move(messages), now(), effects_.back());
      if (const auto link = links_.find(id); link != links_.end() && machine_.idle(id)) link->second->end_lines();
      schedule_flush();
    };
    handler.on_printed = [this, id, slot](std::vector<Printed>&& printed) {
      output_.show(slot, printed);
      for (Printed& part : printed) machine_.worker_printed(id, std::move(part), effects_.back());
      schedule_flush();
    };
    handler.ended_well = [this, id] { return machine_.asked_to_end(id); };
    handler.on_hang_up = [this, id] {
      machine_.worker_hung_up(id, now());
      schedule_flush();
    };
    handler.on_broken = [this, id, slot](std::string why) {
      log::error("slot {}: the channel to the worker broke: {}", slot, why);
      machine_.channel_broke(id, std::move(why), now(), effects_.back());
      schedule_flush();
    };
    handler.on_end = [this, id](ProcessEnd end) {
      end.out_of_memory = oom_.advanced() && end.signal == SIGKILL;
      end.at = now();
      const DeathBook::Known known{devices_->watched(), stop_.stopping() || machine_.ends(id)};
      if (deaths_.ended({id, end}, known)) return bury({DeathBook::Dead{id, end}});
      if (devices_->watched()) devices_->look();
      schedule_flush();  // there is a new deadline
    };
    return handler;
  }

  void bury(const std::vector<DeathBook::Dead>& all) {
    for (const DeathBook::Dead& dead : all) {
      machine_.worker_exited(dead.worker, dead.end, effects_.back());
      const auto link = links_.find(dead.worker);
      ended_links_.push_back(std::move(link->second));  // it may be calling us: destroyed after the turn
      links_.erase(link);
      schedule_flush();
    }
  }

  // --- Devices --------------------------------------------------------------------------------------------------

  void devices_seen(const gpu::Inventory& inventory) {
    machine_.devices_seen(inventory, now(), effects_.back());
    bury(deaths_.looked_at(inventory.taken_at));
    schedule_flush();
  }

  void listen_for_silence() {
    devices_->complain_of_silence(now());
    silence_timer_ = loop_.call_at(now() + silence_check, [this] { listen_for_silence(); });
  }

  void say_born(const SpawnWorker& effect, pid_t pid, const std::vector<std::uint32_t>& slots) {
    for (const std::uint32_t slot : slots) {
      const std::string state = machine_.devices().state_of(devices_->plan().slots.at(slot).gpu);
      if (!state.empty())
        log::info("slot {}: worker process {} for {} on {}", slot, pid, effect.options->label, state);
      else
        log::debug("slot {}: worker process {} for {}", slot, pid, effect.options->label);
    }
  }

  // --- The end --------------------------------------------------------------------------------------------------

  void stop(int signal) {
    take(stop_.signalled(signal, now()));
    schedule_flush();
  }

  void take(StopMachine::Step step) {
    switch (step) {
      case StopMachine::Step::nothing:
        return;
      case StopMachine::Step::leave_in_order:
        log::info("leaving: running jobs have {} s to finish", options_.drain_timeout.count());
        return leave("the node was asked to leave", now() + options_.drain_timeout);
      case StopMachine::Step::leave:
        log::info("leaving; running jobs go elsewhere");
        return leave("the node was asked to leave", now());
      case StopMachine::Step::leave_with_head:
        log::info("the head has ended in order and no other has come within {} s: leaving too (--head-timeout)",
                  options_.head_timeout->count());
        return leave("its head has ended", now());
      case StopMachine::Step::end_at_once:
        log::warning("second signal: leaving at once");
        exit_code_ = exit_error;
        loop_.stop();
    }
  }

  void leave(const char* why, TimePoint until) {
    machine_.leave(why, until, effects_.back());
    schedule_flush();
  }

  NodeOptions options_;
  std::string host_, directory_;
  std::unique_ptr<Devices> devices_;
  net::EventLoop loop_;
  CacheThread cache_;
  NodeOutput output_;
  wire::OutputLimit output_limit_;
  NodeMachine machine_;
  StopMachine stop_;
  std::optional<rlimit> open_files_;
  std::unique_ptr<net::Connector> connector_;
  std::unique_ptr<net::EventLoop::SignalWatch> signals_;
  std::unique_ptr<net::Timer> timer_;
  TimePoint armed_for_ = never;
  OomWatch oom_;
  std::map<WorkerId, std::unique_ptr<WorkerLink>> links_;
  std::vector<std::unique_ptr<WorkerLink>> ended_links_;
  DeathBook deaths_;
  std::unique_ptr<net::Timer> silence_timer_;
  std::vector<WorkerId> to_send_;
  EffectQueue effects_;
  bool flush_scheduled_ = false, outage_said_ = false;
  int exit_code_ = exit_left;
};

}  // namespace

int run_node(NodeOptions options, std::unique_ptr<Devices> devices) {
  for (const std::string& name : withheld_variables(options.kept_from_workers)) {
    log::info("the variable {} holds a password: workers do not get it", name);
  }
  return NodeService(std::move(options), std::move(devices)).run();
}

}  // namespace dc::node
