// One worker process: how it is born (clean, in a process group of its own, below a warden that ends what the worker
// has started) and what the node holds of it (socket, pidfd of the warden, output pipes, page of claims).
#pragma once

#include <sys/resource.h>
#include <sys/types.h>

#include <cstdint>
#include <memory>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/fd.hpp"
#include "core/result.hpp"
#include "wire/claims.hpp"

namespace dc::node {

struct SpawnOptions {
  std::vector<std::string> command;      ///< argv; [0] is a path
  std::vector<std::string> environment;  ///< added to the cleaned environment of the node, "NAME=value"
  std::vector<std::string> secrets;      ///< see holds_secret(): such variables are not passed on
  std::vector<std::uint32_t> cpus;       ///< that it runs on; empty: those of the node
  std::string directory;                 ///< that it starts in; empty: the node's
  std::uint64_t output_token = 0;        ///< names the marks in its output, see wire/output_mark.hpp
  std::optional<rlimit> open_files;      ///< the limit that the worker shall have, when the node has raised its own
};

/// Whether a variable ("NAME=value") is, or holds, one of the secrets. Very short ones stand in everything by chance:
/// those count only as the whole value.
bool holds_secret(std::string_view variable, const std::vector<std::string>& secrets);

/// Names of the variables of this process's environment that workers do not get.
std::vector<std::string> withheld_variables(const std::vector<std::string>& secrets);

class WorkerProcess {
 public:
  /// Forks; the child of the child executes the program, which nobody waits for: it may stand on a disk that hangs.
  static Result<std::unique_ptr<WorkerProcess>> spawn(const SpawnOptions& options);
  ~WorkerProcess();  ///< kills the whole process group
  WorkerProcess(const WorkerProcess&) = delete;
  WorkerProcess& operator=(const WorkerProcess&) = delete;

  [[nodiscard]] pid_t pid() const { return pid_; }
  [[nodiscard]] int socket() const { return socket_.get(); }
  /// Readable when the worker has ended, and all that it has started.
  [[nodiscard]] int pidfd() const { return pidfd_.get(); }
  [[nodiscard]] int output() const { return output_.get(); }  ///< what it writes to stdout
  [[nodiscard]] int errors() const { return errors_.get(); }  ///< and to stderr
  [[nodiscard]] wire::Claims* claims() const { return claims_; }
  void signal_group(int signal) const;
  struct End {
    int exit_status = -1;
    int signal = 0;
  };
  /// Once it has ended: a sentence when the program could not be executed at all, else nothing.
  [[nodiscard]] std::string exec_problem() const;
  /// To be called once the pidfd is readable.
  End reap();
  /// What a crash has left behind the page of claims (Python's stack); at most limits::crash_text_bytes_max of it.
  [[nodiscard]] std::string crash_text() const;

 private:
  WorkerProcess() = default;
  [[nodiscard]] bool hear_of_worker();
  pid_t warden_ = -1, pid_ = -1;
  bool reaped_ = false;
  Fd socket_, pidfd_, output_, errors_;
  Fd report_;  ///< holds the errno of an exec that failed
  Fd warden_report_, page_;
  std::string program_;
  wire::Claims* claims_ = nullptr;
};

}  // namespace dc::node
