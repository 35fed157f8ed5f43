// Entry point of the command distributed-computing: looks at a running cluster, and at this machine.
#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <cstdio>
#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "cli/backup.hpp"
#include "cli/did_you_mean.hpp"
#include "cli/doctor.hpp"
#include "cli/options.hpp"
#include "cli/pools.hpp"
#include "cli/secrets.hpp"
#include "cli/status.hpp"
#include "core/printable.hpp"
#include "core/limits.hpp"
#include "core/version.hpp"

namespace {

constexpr const char* footer = R"(
Examples:
  distributed-computing status -r 123456
  distributed-computing status -a 194.173.121.37 -p 8899 -r 123456 --json
  distributed-computing pools list -r 123456
  distributed-computing pools results sweep-1 -r 123456 --output results
  distributed-computing pools forget sweep-1 KEY -r 123456
                                 the next job with this key runs anew
  distributed-computing pools export pools.db
                                 all named pools of this machine's head into a file, while it runs on
  distributed-computing pools import pools.db
                                 and into the store of another, before it is started
  distributed-computing doctor -a 194.173.121.37
                                 what a node on this machine would find, what is wrong, and what to do

The password may also come from --password-stdin, --password-file, the variable DISTRIBUTED_COMPUTING_PASSWORD or
distributed-computing.password in $CREDENTIALS_DIRECTORY; on a terminal it is asked for otherwise.

`status --json` prints one object:
  head:  pid, host, address, port, version, epoch, store, store_trouble,
         reading: {pools, pools_read, trouble}, uptime_s
  nodes: [id, host, pid, address, connected, leaving,
          slots: [slot, device, gpu, gpu_memory_mib, gpu_memory_free_mib, trouble, state, pool, worker, worker_pid,
                  jobs_done]]
  pools: [id, label, client: {host, pid, connected}, weight, workers, starting, slots_set_aside, jobs_queued,
          jobs_running, jobs_done, jobs_rerun, updates, name, to_deliver, to_take, kept_bytes, keys, error,
          reading: {entries, entries_read}]
store_trouble says why named pools take no jobs now, or is null. reading is null unless the head has just started and
reads the journals of named pools that an earlier one kept: who wants such a pool waits until its own is read, and its
name is its id until then.
The state of a slot is free, starting, idle, busy, stopping, waiting_to_retry or blocked (trouble says why). Ids are
hexadecimal strings; pool and worker_pid are null where a slot has no worker, gpu where it has no GPU. name
is null unless the pool outlives its program: to_deliver counts its jobs whose outcome no program has, to_take those of
them that are done, kept_bytes what counts against --pool-bytes-max, keys those that have a value, and error says why it
failed.

Exit codes: 0 fine, 1 the head cannot be reached, something failed, or the doctor found something wrong, 2 wrong usage,
3 refused (wrong password or version; another program has the pool; another pool or key is where one is imported),
4 no such pool or file, 5 a head has the store)";

int complain(int code, const std::string& text) {
  fmt::print(stderr, "distributed-computing: {}\n", dc::printable(text, dc::limits::log_line_bytes_max));
  return code;
}

struct Arguments {
  dc::cli::PasswordSources password;
  dc::net::HeadAccess head;
  bool json = false, steal = false, all_keys = false;
  std::string name, output;
  std::vector<std::string> keys;
  dc::cli::BackupArguments backup;
};

int complain(const dc::Error& error) {
  const int code = error.code == dc::ErrorCode::rejected ? 3 : error.code == dc::ErrorCode::not_found ? 4 : 1;
  return complain(code, error.message);
}

/// The exit code when something is wrong with the password, else 0.
int take_password(Arguments& arguments) {
  auto password = dc::cli::read_password(arguments.password);
  if (!password) return complain(2, password.error().message);
  if (password.value().text.empty()) password.value().text = dc::cli::ask_password();
  if (password.value().text.empty()) {
    return complain(
        2, fmt::format("a password is needed: -r PASSWORD, --password-file FILE, --password-stdin or the variable {}",
                       dc::cli::password_variable));
  }
  arguments.head.password = std::move(password.value().text);
  return 0;
}

int show(const std::string& text) {
  std::fputs(text.c_str(), stdout);
  return 0;
}

int show_status(const Arguments& arguments) {
  const auto answer = dc::net::ask_status(arguments.head, dc::cli::asking());
  if (!answer) return complain(answer.error());
  return show(arguments.json ? nlohmann::json::parse(answer.value()).dump(2, ' ', true) + "\n"
                             : dc::cli::status_table(answer.value()));
}

int list_pools(const Arguments& arguments) {
  const auto answer = dc::net::ask_status(arguments.head, dc::cli::asking());
  if (!answer) return complain(answer.error());
  const std::string pools = dc::cli::named_pools(answer.value());
  return show(arguments.json ? pools + "\n" : dc::cli::pools_table(pools));
}

int show_pool(const Arguments& arguments) {
  const auto answer = dc::net::ask_status(arguments.head, dc::cli::asking());
  if (!answer) return complain(answer.error());
  const auto text = dc::cli::show_pool(dc::cli::named_pools(answer.value()), arguments.name);
  return text ? show(text.value()) : complain(text.error());
}

int show_results(const Arguments& arguments) {
  const auto written = dc::cli::write_results(arguments.head, arguments.name, arguments.output);
  return written ? 0 : complain(written.error());
}

int remove_pool(const Arguments& arguments) {
  const auto removed = dc::cli::remove_pool(arguments.head, arguments.name, arguments.steal);
  if (!removed) return complain(removed.error());
  return show(fmt::format("pool '{}' is gone\n", arguments.name));
}

int repair_pool(const Arguments& arguments) {
  const auto told = dc::cli::repair_pool(arguments.head, arguments.name);
  return told ? show(told.value() + "\n") : complain(told.error());
}

int forget_keys(const Arguments& arguments) {
  if (arguments.keys.empty() && !arguments.all_keys)
    return complain(2, "name the keys whose values are to be forgotten, or say --all");
  const auto told = dc::cli::forget_keys(arguments.head, arguments.name, arguments.keys);
  return told ? show(told.value() + "\n") : complain(told.error());
}

using Copied = dc::Result<std::vector<dc::head::CopiedPool>>;

int show_copied(const Copied& copied) {
  if (copied) return show(dc::cli::copied_table(copied.value()));
  switch (copied.error().code) {
    case dc::ErrorCode::invalid:
      return complain(2, copied.error().message);
    case dc::ErrorCode::fenced:
      return complain(5, copied.error().message);
    default:
      return complain(copied.error());
  }
}

int export_pools(const Arguments& arguments) { return show_copied(dc::cli::export_pools(arguments.backup)); }
int import_pools(const Arguments& arguments) { return show_copied(dc::cli::import_pools(arguments.backup)); }

void add_password_options(CLI::App& command, Arguments& arguments) {
  command.add_option("-r,--password", arguments.password.argument, "The password of the cluster");
  command.add_option("--password-file", arguments.password.file, "A file that holds the password (mode 600)");
  command.add_flag("--password-stdin", arguments.password.standard_input,
                   "Read the password from the first line of standard input");
}

void add_head_options(CLI::App& command, Arguments& arguments) {
  command.add_option("-a,--address", arguments.head.address, "The head's address, or several: HOST1,HOST2[:PORT]")
      ->capture_default_str()
      ->check(dc::cli::address_check);
  command.add_option("-p,--port", arguments.head.port, "The head's port")
      ->capture_default_str()
      ->check(CLI::Range(1, 65535));
  add_password_options(command, arguments);
  command
      .add_option("--fingerprint", arguments.head.fingerprint,
                  "The head's key, as the head shows it; several with commas")
      ->check(dc::cli::fingerprint_check);
}

void add_forget(CLI::App& command, Arguments& arguments) {
  CLI::Option* keys = command.add_option("keys", arguments.keys, "The keys; a job that runs with one of them goes on");
  keys->check(dc::cli::key_check);
  command.add_flag("--all", arguments.all_keys, "All keys of the pool")->excludes(keys);
}

/// `run` gives the exit code.
struct Command {
  CLI::App* app;
  int (*run)(const Arguments&);
};

/// Those that talk to a head.
std::vector<Command> add_commands(CLI::App& app, Arguments& arguments) {
  std::vector<Command> commands;
  CLI::App* status = app.add_subcommand("status", "Show head, nodes, workers, pools and jobs");
  status->footer(footer);
  status->add_flag("--json", arguments.json, "Print JSON");
  commands.push_back({status, show_status});
  CLI::App* pools = app.add_subcommand("pools",
                                       "Show named pools and what is in them; remove or repair one, forget its keys; "
                                       "export and import them");
  pools->footer(footer);
  pools->require_subcommand(1);
  const auto of_one_pool = [&](const char* name, const char* help, int (*run)(const Arguments&)) {
    CLI::App* command = pools->add_subcommand(name, help);
    command->add_option("name", arguments.name, "The pool's name")->required();
    commands.push_back({command, run});
    return command;
  };
  CLI::App* list = pools->add_subcommand("list", "Show all named pools of the head");
  list->add_flag("--json", arguments.json, "Print JSON");
  commands.push_back({list, list_pools});
  of_one_pool("show", "Show one pool", show_pool);
  of_one_pool("results", "Show the outcomes that wait for a program; they wait on afterwards", show_results)
      ->add_option("--output", arguments.output,
                   "Directory for the values (NUMBER.value: pickled by Python, MessagePack by C++) and errors "
                   "(NUMBER.error)");
  of_one_pool("remove", "End the pool for good and delete its jobs and outcomes", remove_pool)
      ->add_flag("--steal", arguments.steal, "Even when a program has it");
  of_one_pool("repair", "Cut the journal of a pool that the head refuses because it is broken, and say what that loses",
              repair_pool);
  add_forget(*of_one_pool("forget", "Forget the values of keys: the next job with one of them runs anew", forget_keys),
             arguments);
  for (const Command& command : commands) add_head_options(*command.app, arguments);
  return commands;
}

/// Those that talk to a store.
std::vector<Command> add_backup_commands(CLI::App& pools, Arguments& arguments) {
  CLI::App* to_file = pools.add_subcommand(
      "export",
      "Copy named pools into a new file (a store of SQLite itself); a head that keeps them in SQLite runs on");
  dc::cli::declare_export(*to_file, arguments.backup);
  CLI::App* from_file =
      pools.add_subcommand("import", "Copy the named pools of such a file into a store whose head does not run");
  dc::cli::declare_import(*from_file, arguments.backup);
  const std::vector<Command> commands{{to_file, export_pools}, {from_file, import_pools}};
  for (const Command& command : commands) add_password_options(*command.app, arguments);
  return commands;
}

/// Only some stores want the password: nobody is asked for it.
int run_backup(const Command& command, Arguments& arguments) {
  auto password = dc::cli::read_password(arguments.password);
  if (!password) return complain(2, password.error().message);
  arguments.backup.password = std::move(password.value().text);
  return command.run(arguments);
}

}  // namespace

int main(int argc, char** argv) {
  Arguments arguments;
  arguments.head.port = dc::limits::default_port;
  CLI::App app("Looks at a running cluster, and at this machine.", "distributed-computing");
  const std::string version = std::string("distributed-computing ") + dc::version;
  app.set_version_flag("--version", version);
  app.footer(footer);
  app.require_subcommand(1);
  CLI::App* show_version = app.add_subcommand("version", "Show the version");
  const std::vector<Command> commands = add_commands(app, arguments);
  const std::vector<Command> backup_commands = add_backup_commands(*app.get_subcommand("pools"), arguments);
  dc::cli::DoctorOptions examined;
  examined.port = dc::limits::default_port;
  CLI::App* doctor = app.add_subcommand("doctor", "Look at this machine as a node would: GPUs, masks, network, limits");
  doctor->add_option("-a,--address", examined.address, "The head's address")->capture_default_str();
  doctor->add_option("-p,--port", examined.port, "The head's port")->capture_default_str()->check(CLI::Range(1, 65535));
  app.failure_message([words = dc::cli::words_of(argc, argv)](const CLI::App* of, const CLI::Error& error) {
    return dc::cli::usage_problem(*of, error, words);
  });
  try {
    app.parse(argc, argv);
  } catch (const CLI::ParseError& error) {
    return app.exit(error) == 0 ? 0 : 2;
  }
  dc::cli::hide_secrets(argc, argv);
  if (show_version->parsed()) return fmt::print("{}\n", version), 0;
  if (doctor->parsed()) return dc::cli::doctor(examined);
  for (const Command& command : backup_commands) {
    if (command.app->parsed()) return run_backup(command, arguments);
  }
  if (const int code = take_password(arguments); code != 0) return code;
  for (const Command& command : commands) {
    if (command.app->parsed()) return command.run(arguments);
  }
  return 0;
}
