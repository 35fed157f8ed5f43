// See start_node.hpp.
#include "cli/start_node.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <chrono>
#include <cstdlib>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <utility>

#include "cli/allocation.hpp"
#include "cli/banner.hpp"
#include "cli/did_you_mean.hpp"
#include "cli/drain.hpp"
#include "cli/init.hpp"
#include "cli/node_child.hpp"
#include "cli/options.hpp"
#include "cli/secrets.hpp"
#include "cli/stdin_end.hpp"
#include "cli/store_options.hpp"
#include "core/held_signals.hpp"
#include "core/log.hpp"
#include "core/node_lock.hpp"
#include "core/output.hpp"
#include "core/paths.hpp"
#include "core/periodic.hpp"
#include "core/version.hpp"
#include "gpu/masks.hpp"
#include "head/head_service.hpp"
#include "net/free_port.hpp"
#include "net/session.hpp"
#include "node/node_service.hpp"
#include "store/redis_address.hpp"

namespace dc::cli {
namespace {

struct Arguments {
  bool head = false, drain = false, verbose = false, until_stdin_ends = false;
  PasswordSources password;
  std::string address = "localhost", fingerprint, python;
  std::vector<std::string> bind = {"0.0.0.0", "::"};
  StoreArguments kept;
  std::uint16_t port = limits::default_port;
  std::optional<std::uint32_t> workers, max_gpus;
  std::string gpus, exclude_gpus;
  std::uint32_t workers_per_gpu = 1;
  bool no_affinity = false;
  std::optional<unsigned> drain_timeout;
  std::string name, head_timeout;
  bool if_none = false;
};

constexpr std::uint32_t workers_max = 4096, workers_per_gpu_max = 64;

constexpr unsigned drain_timeout_default = 60;

constexpr const char* footer = R"(
Examples:
  start_node --head                          a head and a node on this machine; makes a password and shows it (on a
                                             terminal: else it is kept in a file, which the join line names)
  start_node --head --password=123456        the same with a password of yours
  start_node -p 8899 -a 194.173.121.37 -r 123456
                                             this machine joins that head
  start_node --head --workers 0 --standby --store redis://10.0.0.9 --password-file key
                                             a second head that takes over when the first, with the same store, is gone
  start_node -a 10.0.0.1,10.0.0.2 --password-file key
                                             this machine joins whichever of two heads is the head
  start_node -a HOST -r 123456 --gpus 0,2 --workers-per-gpu 2
                                             two workers on each of two GPUs
  start_node --drain                         the node of this machine finishes its jobs and leaves

A machine has one node: a second start says so and exits with 0. In a job of a batch system (Slurm, PBS, LSF) each
process of the job has one of its own, and --name makes others; where that one is there already, a second start exits
with 6, or with --if-none with 0. Ctrl-C leaves at once (jobs run elsewhere), SIGTERM lets running jobs finish first, a
second signal more than 2 s later ends that too. A head that ends takes the node beside it with it. The first process of
a container buries what others leave behind.

A node has a slot for each GPU (NVIDIA's and AMD's; each instance of one that MIG has cut), or for each core where there is
no GPU. CUDA_VISIBLE_DEVICES and ROCR_VISIBLE_DEVICES of its environment are honoured; a worker sees its own GPU alone.
`distributed-computing doctor` shows what a node would find.

The password comes from -r, else from --password-stdin, else from --password-file, else from
DISTRIBUTED_COMPUTING_PASSWORD, else from distributed-computing.password in $CREDENTIALS_DIRECTORY (systemd's
LoadCredential=), else a node asks for it on the terminal. A head without one makes a random one. The join line repeats
it only when it came with -r, or was made and is shown on a terminal. What stands after -r can be seen by others of this
machine for a moment.

Environment:
  DISTRIBUTED_COMPUTING_PASSWORD   the password, instead of -r; wiped as soon as it is read
  DISTRIBUTED_COMPUTING_BIND       addresses that a head listens on, instead of --bind
  DISTRIBUTED_COMPUTING_STORE      where a head keeps named pools, instead of --store; wiped as soon as it is read
  CREDENTIALS_DIRECTORY            of a service: distributed-computing.password and distributed-computing.store in it
  DISTRIBUTED_COMPUTING_HOME       directory for sockets, locks and caches, instead of the XDG directories
  DISTRIBUTED_COMPUTING_LOG        debug, info (default), warning, error, off
  DISTRIBUTED_COMPUTING_NVML       NVIDIA's management library, instead of libnvidia-ml.so.1
  CUDA_VISIBLE_DEVICES, ROCR_VISIBLE_DEVICES
                                   the GPUs that a node may use, as CUDA and ROCm read them
  OMP_NUM_THREADS, MKL_NUM_THREADS, OPENBLAS_NUM_THREADS, BLIS_NUM_THREADS, NUMEXPR_NUM_THREADS
                                   threads of these libraries in a worker, instead of its share of the cores

Files, below $DISTRIBUTED_COMPUTING_HOME/run, else $XDG_RUNTIME_DIR/distributed-computing where that is yours, else
/tmp/distributed-computing-<uid>; they come back when somebody removes them:
  head-8899.sock, head-8899.json   the head's socket for this machine; its pid, port and address
  node.json, node-NAME.json        pid of the node of this machine, and the head that it serves
and below $DISTRIBUTED_COMPUTING_HOME/state, else $XDG_STATE_HOME/distributed-computing, else
~/.local/state/distributed-computing:
  head-key.pem                     the key by which this machine's head is known; made at its first start
  known_heads                      the keys of heads that were joined from here
  nodes/                           the locks of the nodes, for each machine that has this directory
  head-8899.db                     named pools of the head, unless --store says otherwise
  head-8899.password               the password that was made for it, where no terminal could show it; with -p 0
                                   head-any.password, in a batch job head-job-12.password
  redis-6379, head-8899-redis      data and sockets of the Redis servers that Python's functions start

Exit codes: 0 fine, 1 error, 2 wrong usage, 3 refused by the head (wrong password or version),
4 the port is in use or a head already runs on it, 5 another head has the store,
6 a node of this name, or of this place in the batch job, runs already)";

std::string gpu_list_check(const std::string& text) { return gpu::problem_of_list(text); }

void declare_devices(CLI::App& app, Arguments& arguments) {
  app.add_option("--gpus", arguments.gpus,
                 "GPUs that this node uses: indices as nvidia-smi counts (0,2), 0:1 for a MIG instance, UUIDs, or none "
                 "(default: all that its environment lets it see)")
      ->check(gpu_list_check);
  app.add_option("--exclude-gpus", arguments.exclude_gpus, "GPUs that it leaves alone, named in the same way")
      ->check(gpu_list_check);
  app.add_option("--max-gpus", arguments.max_gpus, "It uses no more than so many GPUs, the first ones")
      ->check(CLI::Range(0U, workers_max));
  app.add_option("--workers-per-gpu", arguments.workers_per_gpu, "Slots on each GPU")
      ->capture_default_str()
      ->check(CLI::Range(1U, workers_per_gpu_max));
  app.add_flag("--no-affinity", arguments.no_affinity,
               "Workers may run on all cores, not only on those near their GPU");
}

void declare_node(CLI::App& app, Arguments& arguments) {
  app.add_option(
         "--name", arguments.name,
         "Name of this node beside others on this machine; also for --drain (default: none; in a job of a batch "
         "system: of the process's place in it)")
      ->check(name_check);
  app.add_flag("--if-none", arguments.if_none, "When this node runs already, that is fine: exit code 0");
  app.add_option("--head-timeout", arguments.head_timeout,
                 "Seconds after which the node leaves when its head has ended in order and no other has come, or never "
                 "(default: never; in a job of a batch system: 120)")
      ->check(head_timeout_check);
}

void declare(CLI::App& app, Arguments& arguments) {
  app.footer(footer);
  app.set_version_flag("--version", std::string("start_node ") + version);
  CLI::Option* head = app.add_flag("--head", arguments.head, "Start a head on this machine, and a node with it");
  app.add_option("-r,--password", arguments.password.argument, "The password of the cluster");
  app.add_option("--password-file", arguments.password.file, "A file that holds the password (mode 600)");
  app.add_flag("--password-stdin", arguments.password.standard_input,
               "Read the password from the first line of standard input");
  app.add_option("-a,--address", arguments.address,
                 "The head's address; several, HOST1,HOST2[:PORT], where a standby may take over")
      ->capture_default_str()
      ->check(address_check);
  app.add_option("-p,--port", arguments.port, "The head's port; with --head, 0: any that is free, which is shown")
      ->capture_default_str()
      ->check(CLI::Range(0, 65535));
  app.add_option(
         "--workers", arguments.workers,
         "Slots of this node, over its GPUs in turns (default: one per GPU, else one per core; with --head, 0 = "
         "no node)")
      ->check(CLI::Range(0U, workers_max));
  declare_devices(app, arguments);
  declare_node(app, arguments);
  app.add_option("--python", arguments.python, "Interpreter of Python workers (default: the one beside start_node)");
  app.add_option("--bind", arguments.bind,
                 "Addresses that the head listens on (default: all of this machine's; 127.0.0.1: this machine only)")
      ->envname("DISTRIBUTED_COMPUTING_BIND");
  declare_store(app, arguments.kept, head);
  app.add_option(
         "--fingerprint", arguments.fingerprint,
         "The head's key, as the head shows it, or the keys of several heads with commas (default: the one seen "
         "first at each address)")
      ->check(fingerprint_check);
  app.add_flag("--drain", arguments.drain, "Tell the node of this machine to finish its jobs and leave; wait for it");
  app.add_option("--drain-timeout", arguments.drain_timeout,
                 "Seconds that running jobs may take after SIGTERM (default: 60); with --drain: that the node may "
                 "take before its jobs are given up (default: what the node was started with)")
      ->check(CLI::Range(0, 7 * 24 * 3600));
  app.add_flag("--until-stdin-ends", arguments.until_stdin_ends,
               "Leave, as after Ctrl-C, when standard input ends: for programs that start this one through a pipe");
  app.add_flag("--verbose", arguments.verbose, "Say more (as DISTRIBUTED_COMPUTING_LOG=debug does)");
}

int complain(int code, const std::string& text) {
  output::to_stderr(fmt::format("start_node: {}\n", text));
  return code;
}

/// A second start, of the node of this name. Without a name, and outside of a batch job, that is as good as the first.
int say_node_runs(const Arguments& arguments, const std::string& owner) {
  const pid_t pid = owner_pid(owner);
  const std::string who = pid > 0 ? fmt::format(" (pid {})", pid) : "";
  if (arguments.name.empty() || arguments.if_none) {
    output::to_stdout(fmt::format("A node is already running on this machine{}.\n", who));
    return head::exit_fine;
  }
  return complain(head::exit_node_runs,
                  fmt::format("a node named {} is already running on this machine{}: give this one another --name, or "
                              "say --if-none where one is enough",
                              arguments.name, who));
}

gpu::Selection selection_of(const Arguments& arguments) {
  gpu::Selection selection;
  if (!arguments.gpus.empty()) selection.gpus = gpu::list_of(arguments.gpus);
  selection.exclude = gpu::list_of(arguments.exclude_gpus);
  selection.max_gpus = arguments.max_gpus;
  selection.workers_per_gpu = arguments.workers_per_gpu;
  selection.workers = arguments.workers;
  selection.affinity = !arguments.no_affinity;
  return selection;
}

/// What no worker is to find in its environment.
std::vector<std::string> secrets_for_workers(const std::string& store, const std::string& password) {
  std::vector<std::string> secrets = store::secrets_of(store);
  secrets.push_back(password);
  return secrets;
}

/// Runs the node in this process, unless one runs on this machine already.
int run_node_here(const Arguments& arguments, const std::string& password) {
  hold_signals();
  auto taken = NodeLock::take(arguments.name);
  if (!taken.problem.empty()) return complain(head::exit_error, taken.problem);
  if (!taken.owner.empty()) return say_node_runs(arguments, taken.owner);
  node::NodeOptions options;
  options.address = arguments.address;
  options.port = arguments.port;
  options.fingerprint = arguments.fingerprint;
  options.secret.password = password;
  options.kept_from_workers = secrets_for_workers(arguments.kept.store, password);
  options.python = python_of(arguments.python);
  options.name = arguments.name;
  options.drain_timeout = std::chrono::seconds(arguments.drain_timeout.value_or(drain_timeout_default));
  options.head_timeout = head_timeout(arguments.head_timeout);
  log::set_up("node");
  auto devices = node::Devices::find(selection_of(arguments), usable_cores());
  if (!devices) return complain(head::exit_usage, devices.error().message);
  const nlohmann::json json{
      {"pid", ::getpid()}, {"address", options.address}, {"port", options.port}, {"name", arguments.name}};
  if (const std::string problem = taken.lock.write(json.dump()); !problem.empty())
    return complain(head::exit_error, problem);
  const Periodic keeper(limits::files_look_interval,
                        [lock = std::make_shared<NodeLock>(std::move(taken.lock))] { lock->look(); });
  return node::run_node(std::move(options), std::move(devices.value()));
}

/// The node of this machine beside the head, in a process of its own.
int run_node_child(Arguments arguments, const std::string& password) {
  arguments.if_none = true;
  if (const auto owner = NodeLock::owner(arguments.name)) {
    say_node_runs(arguments, *owner);
    output::to_stdout("The head runs without a node of its own.\n");
    return head::exit_fine;
  }
  arguments.address = "localhost";
  arguments.fingerprint.clear();
  return run_node_here(arguments, password);
}

/// A port for a head that may have any, and a store of its own for one of a batch job: the next run of the same job
/// finds its pools there, and no other job is in the way.
Result<std::optional<net::FreePort>> choose_port(Arguments& arguments) {
  if (arguments.port != 0) return std::nullopt;
  BOOST_OUTCOME_TRY(port, net::FreePort::find(arguments.bind));
  arguments.port = port.port();
  if (const auto batch = allocation(); batch && arguments.kept.store.empty())
    arguments.kept.store = fmt::format("sqlite://{}/head-{}.db", paths::state_dir(), batch->job);
  return std::optional(std::move(port));
}

/// Where a made password is kept: like the store, by the port, or where any port will do by the batch job.
std::string password_place(const Arguments& arguments) {
  if (arguments.port != 0) return paths::head_password(arguments.port);
  const auto batch = allocation();
  return fmt::format("{}/head-{}.password", paths::state_dir(), batch ? batch->job : "any");
}

int run_head_here(Arguments arguments, Password password) {
  const std::string kept_password = password_place(arguments);
  auto reserved = choose_port(arguments);
  if (!reserved) return complain(head::exit_error, reserved.error().message);
  if (password.from == Password::From::nowhere) {
    auto made = made_password(kept_password, ::isatty(STDOUT_FILENO) != 0);
    if (!made) return complain(head::exit_error, made.error().message);
    password = std::move(made.value());
  }
  std::optional<NodeChild> child;
  if (arguments.workers != 0) {
    child.emplace([&] { return run_node_child(arguments, password.text); });
    if (!child->problem().empty()) return complain(head::exit_error, child->problem());
  }
  if (arguments.until_stdin_ends) end_with_stdin();
  head::HeadOptions options;
  options.addresses = arguments.bind;
  options.port = arguments.port;
  options.secret.password = password.text;
  options.shown_address = shown_address(arguments.bind);
  take_over(arguments.kept, options);
  options.on_listening = [&](const std::string& fingerprint, const std::string& store) {
    print_banner({arguments.port, arguments.bind, fingerprint, store}, password);
    wipe(password.text);
    if (child) child->start();
  };
  options.on_stop = [&] {
    if (child) child->leave();
  };
  options.child_pidfd = child ? child->pidfd() : -1;
  options.on_child_end = [&] {
    if (const std::string news = child->reap(); !news.empty()) log::warning("{}", news);
  };
  const int code = head::run_head(std::move(options));
  if (child) child->wait_for_end();
  return code;
}

}  // namespace

int start_node(int argc, char** argv) {
  open_standard_descriptors();
  Arguments arguments;
  CLI::App app("Starts a head, or joins this machine to one as a node whose workers run the jobs of pools.",
               "start_node");
  declare(app, arguments);
  app.failure_message([words = words_of(argc, argv)](const CLI::App* of, const CLI::Error& error) {
    return usage_problem(*of, error, words);
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : head::exit_usage;
  }
  hide_secrets(argc, argv);
  auto password = read_password(arguments.password);
  auto store = read_store(std::move(arguments.kept.store));
  if (const auto batch = allocation(); batch && arguments.name.empty())
    arguments.name = arguments.drain ? node_to_drain(*batch) : batch->node;
  if (arguments.verbose) ::setenv("DISTRIBUTED_COMPUTING_LOG", "debug", 1);
  if (arguments.drain) {
    std::optional<std::chrono::seconds> patience;
    if (arguments.drain_timeout) patience = std::chrono::seconds(*arguments.drain_timeout);
    return drain(arguments.name, patience);
  }
  if (!password) return complain(head::exit_usage, password.error().message);
  if (!store) return complain(head::exit_usage, store.error().message);
  arguments.kept.store = std::move(store.value());
  const auto wipe_here = [&] {
    wipe(password.value().text);
    wipe(arguments.kept.store);
  };
  if (const auto code = stay_as_init(wipe_here)) return *code;
  if (!arguments.head && arguments.port == 0)
    return complain(head::exit_usage, "-p 0 makes sense only with --head: name the port of the head");
  if (!arguments.head && arguments.kept.standby)
    return complain(head::exit_usage, "--standby makes sense only with --head");
  if (arguments.head) return run_head_here(std::move(arguments), std::move(password.value()));
  if (arguments.workers == 0) return complain(head::exit_usage, "--workers 0 makes sense only with --head");
  if (password.value().from == Password::From::nowhere) {
    if (const auto owner = NodeLock::owner(arguments.name)) return say_node_runs(arguments, *owner);
    password.value().text = ask_password();
  }
  if (password.value().text.empty()) {
    return complain(head::exit_usage,
                    "a password is needed to join: -r PASSWORD, --password-file FILE, --password-stdin or the variable "
                    "DISTRIBUTED_COMPUTING_PASSWORD; it is that of the head");
  }
  hold_signals();  // before a thread is there that would take them
  if (arguments.until_stdin_ends) end_with_stdin();
  return run_node_here(arguments, password.value().text);
}

}  // namespace dc::cli
