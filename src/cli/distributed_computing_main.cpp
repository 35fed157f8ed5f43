// Entry point of the command distributed-computing: looks at a running cluster.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <string>

#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/limits.hpp"
#include "core/version.hpp"

namespace {

constexpr const char* footer = R"(
Examples:
  distributed-computing status -r 123456
  distributed-computing status -a 194.173.121.37 -p 8899 -r 123456 --json

The password may also come from --password-file or the variable DISTRIBUTED_COMPUTING_PASSWORD.

--json prints one object: head {pid, host, address, port, version, epoch, uptime_s}; nodes [{id, host, pid, address, connected,
leaving, slots [{slot, device, state, pool, worker_pid, jobs_done}]}]; pools [{id, label, client {host, pid, connected}, weight,
workers, starting, slots_set_aside, jobs_queued, jobs_running, jobs_done, jobs_rerun, updates}].

Exit codes: 0 fine, 1 the head cannot be reached, 2 wrong usage, 3 refused by the head (wrong password or version))";

}  // namespace

int main(int argc, char** argv) {
  dc::cli::PasswordSources sources;
  std::string address = "localhost";
  std::uint16_t port = dc::limits::default_port;
  bool json = false;
  CLI::App app("Looks at a running cluster.", "distributed-computing");
  app.set_version_flag("--version", std::string("distributed-computing ") + dc::version);
  app.footer(footer);
  app.require_subcommand(1);
  CLI::App* status = app.add_subcommand("status", "Show head, nodes, workers, pools and jobs");
  status->add_option("-a,--address", address, "The head's address")->capture_default_str();
  status->add_option("-p,--port", port, "The head's port")->capture_default_str()->check(CLI::Range(1, 65535));
  status->add_option("-r,--password", sources.argument, "The password of the cluster");
  status->add_option("--password-file", sources.file, "A file that holds the password (mode 600)");
  status->add_flag("--json", json, "Print JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  dc::cli::hide_password(argc, argv);
  auto password = dc::cli::read_password(sources);
  if (password && password.value().empty()) password = dc::cli::ask_password();
  if (!password || password.value().empty()) {
    fmt::print(stderr, "distributed-computing: {}\n",
               password ? "a password is needed: -r PASSWORD" : password.error().message);
    return 2;
  }
  const auto answer = dc::cli::ask_status(address, port, password.value());
  if (!answer) {
    fmt::print(stderr, "distributed-computing: {}\n", answer.error().message);
    return answer.error().code == dc::ErrorCode::rejected ? 3 : 1;
  }
  std::fputs((json ? answer.value() + "\n" : dc::cli::status_table(answer.value())).c_str(), stdout);
  return 0;
}
