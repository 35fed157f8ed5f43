// Entry point of the command distributed-computing: looks at a running cluster, and at this machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>

#include "cli/doctor.hpp"
#include "cli/options.hpp"
#include "cli/status.hpp"
#include "core/limits.hpp"
#include "core/version.hpp"

namespace {

constexpr const char* footer = R"(
Examples:
  distributed-computing status -r 123456
  distributed-computing status -a 194.173.121.37 -p 8899 -r 123456 --json
  distributed-computing doctor -a 194.173.121.37
                                 what a node on this machine would find, what is wrong, and what to do

The password may also come from --password-file or the variable DISTRIBUTED_COMPUTING_PASSWORD; on a terminal it is
asked for otherwise.

`status --json` prints one object:
  head:  pid, host, address, port, version, epoch, uptime_s
  nodes: [id, host, pid, address, connected, leaving,
          slots: [slot, device, gpu, gpu_memory_mib, gpu_memory_free_mib, trouble, state, pool, worker, worker_pid,
                  jobs_done]]
  pools: [id, label, client: {host, pid, connected}, weight, workers, starting, slots_set_aside, jobs_queued,
          jobs_running, jobs_done, jobs_rerun, updates]
The state of a slot is free, starting, idle, busy, stopping, waiting_to_retry or blocked (trouble says why). Ids are
hexadecimal strings; pool and worker_pid are null where a slot has no worker, gpu where it has no GPU.

Exit codes: 0 fine, 1 the head cannot be reached or the doctor found something wrong, 2 wrong usage, 3 refused by the head (wrong password or version))";

int complain(int code, const std::string& text) {
  fmt::print(stderr, "distributed-computing: {}\n", text);
  return code;
}

struct StatusArguments {
  dc::cli::PasswordSources password;
  std::string address = "localhost", fingerprint;
  std::uint16_t port = dc::limits::default_port;
  bool json = false;
};

int show_status(const StatusArguments& arguments) {
  auto password = dc::cli::read_password(arguments.password);
  if (!password) return complain(2, password.error().message);
  if (password.value().empty()) password = dc::cli::ask_password();
  if (password.value().empty()) {
    return complain(2, fmt::format("a password is needed: -r PASSWORD, --password-file FILE or the variable {}",
                                   dc::cli::password_variable));
  }
  const auto answer = dc::cli::ask_status(arguments.address, arguments.port, password.value(), arguments.fingerprint);
  if (!answer) return complain(answer.error().code == dc::ErrorCode::rejected ? 3 : 1, answer.error().message);
  const std::string shown =
      arguments.json ? nlohmann::json::parse(answer.value()).dump(2) + "\n" : dc::cli::status_table(answer.value());
  std::fputs(shown.c_str(), stdout);
  return 0;
}

}  // namespace

int main(int argc, char** argv) {
  StatusArguments arguments;
  CLI::App app("Looks at a running cluster, and at this machine.", "distributed-computing");
  const std::string version = std::string("distributed-computing ") + dc::version;
  app.set_version_flag("--version", version);
  app.footer(footer);
  app.require_subcommand(1);
  CLI::App* show_version = app.add_subcommand("version", "Show the version");
  CLI::App* status = app.add_subcommand("status", "Show head, nodes, workers, pools and jobs");
  status->footer(footer);
  status->add_option("-a,--address", arguments.address, "The head's address, or several: HOST1,HOST2[:PORT]")
      ->capture_default_str()
      ->check(dc::cli::address_check);
  status->add_option("-p,--port", arguments.port, "The head's port")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  status->add_option("-r,--password", arguments.password.argument, "The password of the cluster");
  status->add_option("--password-file", arguments.password.file, "A file that holds the password (mode 600)");
  status
      ->add_option("--fingerprint", arguments.fingerprint, "The head's key, as the head shows it; several with commas")
      ->check(dc::cli::fingerprint_check);
  dc::cli::DoctorOptions examined;
  examined.port = dc::limits::default_port;
  CLI::App* doctor = app.add_subcommand("doctor", "Look at this machine as a node would: GPUs, masks, network, limits");
  doctor->add_option("-a,--address", examined.address, "The head's address")->capture_default_str();
  doctor->add_option("-p,--port", examined.port, "The head's port")->capture_default_str()->check(CLI::Range(1, 65535));
  status->add_flag("--json", arguments.json, "Print JSON");
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  dc::cli::hide_password(argc, argv);
  if (show_version->parsed()) return fmt::print("{}\n", version), 0;
  if (doctor->parsed()) return dc::cli::doctor(examined);
  return show_status(arguments);
}
