// See start_node.hpp.
#include "cli/start_node.hpp"

#include <fmt/format.h>
#include <sys/prctl.h>
#include <sys/wait.h>
#include <unistd.h>

#include <CLI/CLI.hpp>
#include <cerrno>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <thread>

#include "cli/options.hpp"
#include "core/lock_file.hpp"
#include "core/paths.hpp"
#include "core/version.hpp"
#include "head/head_service.hpp"
#include "net/session.hpp"
#include "node/node_service.hpp"

namespace dc::cli {
namespace {

struct Arguments {
  bool head = false, drain = false;
  PasswordSources password;
  std::string address = "localhost", python;
  std::vector<std::string> bind;
  std::uint16_t port = limits::default_port;
  int workers = -1;
  unsigned drain_timeout = 60;
};

constexpr const char* footer = R"(
Examples:
  start_node --head                          a head and a node on this machine; makes a password and shows it
  start_node --head --password=123456        the same with a password of yours
  start_node -p 8899 -a 194.173.121.37 -r 123456
                                             this machine joins that head
  start_node --drain                         the node of this machine finishes its jobs and leaves

A machine has one node: a second start says so and exits with 0. Ctrl-C leaves at once (jobs run elsewhere), SIGTERM
lets running jobs finish first.

Environment:
  DISTRIBUTED_COMPUTING_PASSWORD   the password, instead of -r
  DISTRIBUTED_COMPUTING_HOME       directory for sockets, locks and caches, instead of the XDG directories
  DISTRIBUTED_COMPUTING_LOG        debug, info (default), warning, error, off

Exit codes: 0 fine, 1 error, 2 wrong usage, 3 refused by the head (wrong password or version), 4 port in use)";

void declare(CLI::App& app, Arguments& arguments) {
  app.footer(footer);
  app.set_version_flag("--version", std::string("start_node ") + version);
  app.add_flag("--head", arguments.head, "Start a head on this machine, and a node with it");
  app.add_option("-r,--password", arguments.password.argument, "The password of the cluster");
  app.add_option("--password-file", arguments.password.file, "A file that holds the password (mode 600)");
  app.add_option("-a,--address", arguments.address, "The head's address")->capture_default_str();
  app.add_option("-p,--port", arguments.port, "The head's port")->capture_default_str()->check(CLI::Range(1, 65535));
  app.add_option("--workers", arguments.workers, "Slots of this node (default: one per core; with --head, 0 = no node)")
      ->check(CLI::Range(0, 4096));
  app.add_option("--python", arguments.python, "Interpreter of Python workers (default: the one beside start_node)");
  app.add_option("--bind", arguments.bind, "Address that the head listens on; loopback only in this version");
  app.add_flag("--drain", arguments.drain, "Tell the node of this machine to finish its jobs and leave; wait for it");
  app.add_option("--drain-timeout", arguments.drain_timeout, "Seconds that running jobs may take after SIGTERM")
      ->capture_default_str();
}

int complain(int code, const std::string& text) {
  fmt::print(stderr, "start_node: {}\n", text);
  return code;
}

std::string show_owner(const std::string& json, const char* what) {
  const auto owner = nlohmann::json::parse(json, nullptr, false);
  return owner.is_object() && owner.contains(what) ? owner[what].dump() : "?";
}

int drain() {
  const auto owner = LockFile::read_owner(paths::node_file());
  if (!owner) return fmt::print("No node is running on this machine.\n"), head::exit_fine;
  const auto json = nlohmann::json::parse(*owner, nullptr, false);
  if (!json.is_object() || !json.contains("pid")) return complain(head::exit_error, "the node's file cannot be read");
  const pid_t pid = json["pid"].get<pid_t>();
  if (::kill(pid, SIGTERM) != 0)
    return complain(head::exit_error, fmt::format("the node (pid {}) cannot be signalled", pid));
  fmt::print("The node (pid {}) finishes its jobs and leaves", pid);
  std::fflush(stdout);
  for (int i = 0; LockFile::read_owner(paths::node_file()) == owner; ++i) {
    std::this_thread::sleep_for(std::chrono::milliseconds(100));
    if (i % 20 == 19) fmt::print("."), std::fflush(stdout);
  }
  fmt::print("\nIt has left.\n");
  return head::exit_fine;
}

/// Runs the node in this process, unless one runs on this machine already.
int run_node_here(const Arguments& arguments, const std::string& password) {
  auto taken = LockFile::take(paths::node_file());
  if (!taken.problem.empty()) return complain(head::exit_error, taken.problem);
  if (!taken.owner.empty()) {
    fmt::print("A node is already running on this machine (pid {}).\n", show_owner(taken.owner, "pid"));
    return head::exit_fine;
  }
  node::NodeOptions options;
  options.address = arguments.address;
  options.port = arguments.port;
  options.secret.password = password;
  options.workers = arguments.workers < 0 ? usable_cores() : static_cast<std::uint32_t>(arguments.workers);
  options.python = arguments.python.empty() ? find_python() : arguments.python;
  options.drain_timeout = std::chrono::seconds(arguments.drain_timeout);
  const nlohmann::json json{
      {"pid", ::getpid()}, {"address", options.address}, {"port", options.port}, {"workers", options.workers}};
  if (const std::string problem = taken.lock.write(json.dump()); !problem.empty())
    return complain(head::exit_error, problem);
  return node::run_node(options);
}

void print_banner(const Arguments& arguments, const std::string& address, const std::string& password) {
  const std::string stars(90, '*');
  fmt::print("\n{}\nTo start a worker node, type:\nstart_node -p {} -a {} -r {}\n{}\n\n", stars, arguments.port,
             address, password, stars);
  fmt::print("Sessions are not encrypted in this version: the head accepts nodes and clients of this machine only.\n");
  std::fflush(stdout);
}

/// The node beside the head, in a process of its own that is made before any thread. It waits for the head to listen.
class NodeChild {
 public:
  NodeChild(const Arguments& arguments, const std::string& password) {
    if (arguments.workers == 0) return;
    int fds[2];
    if (::pipe(fds) != 0) return;
    const pid_t pid = ::fork();
    if (pid == 0) {
      ::close(fds[1]);
      char go = 0;
      const bool listening = ::read(fds[0], &go, 1) == 1;
      ::close(fds[0]);
      if (!listening) std::_Exit(head::exit_error);
      Arguments node = arguments;
      node.address = "localhost";
      const int code = run_node_here(node, password);
      std::fflush(nullptr);
      std::_Exit(code);
    }
    ::close(fds[0]);
    go_ = fds[1];
    pid_ = pid;
  }
  NodeChild(const NodeChild&) = delete;
  NodeChild& operator=(const NodeChild&) = delete;
  ~NodeChild() { end(); }

  void start() {
    if (pid_ > 0 && ::write(go_, "g", 1) != 1) std::perror("start_node");
  }
  void terminate() const {
    if (pid_ > 0) ::kill(pid_, SIGTERM);
  }
  void end() {
    if (pid_ <= 0) return;
    ::close(go_);  // never told to start: ends by itself
    terminate();
    ::waitpid(pid_, nullptr, 0);
    pid_ = -1;
  }

 private:
  pid_t pid_ = -1;
  int go_ = -1;
};

int run_head_here(const Arguments& arguments, const std::string& password) {
  NodeChild child(arguments, password);
  head::HeadOptions options;
  if (!arguments.bind.empty()) options.addresses = arguments.bind;
  options.port = arguments.port;
  options.secret.password = password;
  options.shown_address = net::reachable_address();
  options.on_listening = [&] {
    print_banner(arguments, options.shown_address, password);
    child.start();
  };
  options.on_stop = [&] { child.terminate(); };
  const int code = head::run_head(options);
  child.end();
  return code;
}

}  // namespace

int start_node(int argc, char** argv) {
  Arguments arguments;
  CLI::App app("Starts a head, or joins this machine to one as a node whose workers run the jobs of pools.",
               "start_node");
  declare(app, arguments);
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : head::exit_usage;
  }
  hide_password(argc, argv);
  if (arguments.drain) return drain();
  auto password = read_password(arguments.password);
  if (!password) return complain(head::exit_usage, password.error().message);
  if (arguments.head) {
    return run_head_here(arguments, password.value().empty() ? make_password() : password.value());
  }
  if (arguments.workers == 0) return complain(head::exit_usage, "--workers 0 makes sense only with --head");
  if (password.value().empty()) password = ask_password();
  if (password.value().empty()) {
    return complain(head::exit_usage,
                    "a password is needed to join: -r PASSWORD, --password-file FILE or the variable "
                    "DISTRIBUTED_COMPUTING_PASSWORD; the head shows it when it starts");
  }
  return run_node_here(arguments, password.value());
}

}  // namespace dc::cli
