// One pool as the user's threads see it: a thread-safe face over the client machine, which runs with its session on a
// background thread of its own. Shared by the C++ API and the Python binding.
#pragma once

#include <boost/outcome/basic_result.hpp>
#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "client/client_machine.hpp"
#include "core/job.hpp"
#include "core/limits.hpp"
#include "core/result.hpp"
#include "net/ask.hpp"

namespace dc::client {

/// What went wrong with the pool itself (errors of a job stand in its Outcome).
enum class FailureKind : std::uint8_t {
  pool_closed,     ///< closed by this program, or used in a forked child
  unreachable,     ///< no head answered
  authentication,  ///< the head refused us: password or version
  too_large,       ///< a payload over the head's limit
  pool_failed,     ///< the pool is over; `info` says why (kind worker_init_error, ...)
  invalid,         ///< bad input
};

struct Failure {
  FailureKind kind{};
  std::string message;  ///< a whole sentence
  ErrorInfo info;       ///< of pool_failed
};

template <class T>
using Outcomes = boost::outcome_v2::basic_result<T, Failure, boost::outcome_v2::policy::terminate>;

struct ClientOptions {
  std::string address = "localhost";  ///< of the head, or several, see net::ConnectOptions
  std::uint16_t port = limits::default_port;
  std::string unix_path;    ///< empty: the socket of this machine's head at `port`
  std::string fingerprint;  ///< of the head's key, or several with commas; empty: the one that was seen first
  std::string password;
  std::string name;          ///< of a pool that outlives its clients; empty: the pool ends with this client
  bool attach_only = false;  ///< the named pool must be there
  bool steal = false;        ///< take the named pool from the client that has it
  PoolOptions pool;
  Payload spec;
  /// Executable that the nodes run (C++ pools), read when needed; its hash is put into `pool`. Empty: none.
  std::string program_path;
  Duration connect_timeout = 10s;
  Duration leave_patience = limits::leave_patience;                    ///< shorter in tests
  Duration leave_progress_patience = limits::leave_progress_patience;  ///< shorter in tests
  /// Called on the background thread.
  std::function<void(const std::string& text)> on_notice;
  /// Lines of workers, and now and then one that says how many are not shown.
  std::function<void(const wire::OutputLines& printed)> on_output;
};

class PoolClient;

/// A consumer of outcomes. Closing or destroying it discards what has not been taken.
class Stream {
 public:
  ~Stream();
  Stream(const Stream&) = delete;
  Stream& operator=(const Stream&) = delete;

  Outcomes<JobSequence> submit(Payload arguments, std::string key = {});
  /// Consecutive sequences; returns the first. All or none are submitted. `keys`: none, or one for each; named pools
  /// only.
  Outcomes<JobSequence> submit(std::vector<Payload> arguments, std::vector<std::string> keys = {});

  /// Up to `max` outcomes in the order of their arrival; waits for the first one. Empty at the timeout. Fails once
  /// the pool is over and everything was taken. `patience`: of the user who waits for them.
  Outcomes<std::vector<Completed>> take(std::size_t max, Duration timeout, Patience patience = Patience::none);

  /// Named pools: these outcomes are in the user's hands now. The user has done with them when more are handed over or
  /// taken, or when the stream is closed or the pool left: only then are they acknowledged, so that a program that is
  /// killed before gets them again.
  void hand_over(const std::vector<JobSequence>& sequences);

  /// Submitted and not yet taken.
  [[nodiscard]] std::size_t in_flight() const;
  void close();

  struct State;

 private:
  friend class PoolClient;
  Stream(std::shared_ptr<PoolClient> client, std::shared_ptr<State> state);
  std::shared_ptr<PoolClient> client_;  ///< shared: a stream may outlive the user's own handle on the pool
  std::shared_ptr<State> state_;        ///< shared with the background thread
};

/// All members are for any thread. In a forked child every call fails and the destructor leaves everything alone.
/// Held by shared_ptr because streams in the hands of other threads may outlive the pool object.
class PoolClient : public std::enable_shared_from_this<PoolClient> {
 public:
  /// Starts connecting; does not wait.
  static std::shared_ptr<PoolClient> start(ClientOptions options);
  ~PoolClient();  ///< as end() does
  PoolClient(const PoolClient&) = delete;
  PoolClient& operator=(const PoolClient&) = delete;

  /// True when the head has the pool; false at the timeout.
  Outcomes<bool> wait_open(Duration timeout);
  /// What the head said when it opened the pool; after wait_open().
  [[nodiscard]] PoolIsOpen opened() const;
  [[nodiscard]] bool named() const;

  /// A named pool takes jobs and updates only once it is open: the head says where their numbers begin.
  Outcomes<std::unique_ptr<Stream>> open_stream();
  /// The outcomes of jobs that earlier clients of a named pool submitted: `in_flight` many. One stream at a time; to be
  /// called again on a change of the order, with the open stream in hand, then nothing is returned.
  Outcomes<std::unique_ptr<Stream>> read_earlier(bool in_order);

  /// Gives the update out and returns when the head has it.
  Outcomes<UpdateNumber> update(Payload payload);
  /// The same in two steps: the number at once, then whether the head has it within the timeout.
  Outcomes<UpdateNumber> send_update(Payload payload);
  Outcomes<bool> wait_accepted(UpdateNumber number, Duration timeout);
  /// Waits until every present worker has applied the update; false at the timeout.
  Outcomes<bool> wait_applied(UpdateNumber number, Duration timeout, Patience patience = Patience::limited);
  /// What handle_update raised first for this update, or how a worker ended in it, with the exception where it could be
  /// brought over; of the latest updates that failed.
  std::optional<Outcome> update_failure(UpdateNumber number);

  Outcomes<bool> want_workers(std::uint32_t count);
  struct Counts {
    wire::PoolState state;
    std::uint64_t version{};  ///< rises with every change
  };
  Outcomes<Counts> counts();
  /// Waits until the counts are of another version; false at the timeout.
  Outcomes<bool> wait_counts(std::uint64_t version, Duration timeout);
  /// Asks for so many workers and waits until they are there.
  Outcomes<bool> wait_workers(std::uint32_t count, Duration timeout);
  /// Waits without asking.
  Outcomes<bool> wait_ready(std::uint32_t count, Duration timeout, Patience patience = Patience::limited);

  /// Closes the pool at the head (waits at most about `timeout` for its answer) and joins the thread. May be called
  /// again and from several threads; from a callback it only begins.
  void close(Duration timeout = 1s);

  /// Named pools: begins to leave. The pool goes on; what is in the user's hands counts as done with. It is left when
  /// the head has accepted or refused every job and update. That is not awaited for more than limits::leave_patience
  /// while the head is away, and limits::leave_progress_patience while it takes nothing; what may be missing then is
  /// told as a notice.
  void begin_detach();
  /// True when it is left; false at the timeout. After that close() joins the thread.
  bool wait_detached(Duration timeout);
  /// What the end of a program does: detaches from a named pool and waits for it, closes an unnamed one. close() from
  /// another thread ends the waiting.
  void end();
  /// The state of the whole head, as head_status() below returns it.
  [[nodiscard]] Result<std::string> head_status() const;
  /// Of a named pool: the first `spec_bytes` of its spec, and every update that begins with definitions_mark. Asks the
  /// head on a connection of its own.
  [[nodiscard]] Result<std::pair<Payload, std::vector<Payload>>> definitions(std::uint64_t spec_bytes) const;

  struct Impl;

 private:
  friend class Stream;
  explicit PoolClient(ClientOptions options);
  std::shared_ptr<Impl> impl_;  ///< shared with the background thread
};

/// The head's state as the JSON text of `distributed-computing status --json`.
Result<std::string> head_status(const net::HeadAccess& head);

}  // namespace dc::client
