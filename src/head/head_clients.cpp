// Messages of clients: pools open, come back, submit, and close.
#include <fmt/format.h>

#include <algorithm>

#include "core/device_wish.hpp"
#include "core/environment.hpp"
#include "core/weight.hpp"
#include "head/head_machine.hpp"
#include "head/message_checks.hpp"

namespace dc::head {
namespace {

using std::chrono::milliseconds;

/// Longer limits than this cannot be added to a time. Nobody means them.
constexpr milliseconds timeout_max = std::chrono::hours(24 * 365 * 30);

std::string problem_of(const char* name, milliseconds timeout) {
  if (timeout.count() < 0) return fmt::format("{} is {} ms: it must not be negative", name, timeout.count());
  if (timeout > timeout_max) return fmt::format("{} is {} ms: leave it out for no limit", name, timeout.count());
  return {};
}

}  // namespace

std::string problem_of(const PoolOptions& options) {
  if (std::string problem = problem_of_weight(options.weight); !problem.empty()) return problem;
  if (options.label.size() > limits::label_bytes_max)
    return fmt::format("the name of the pool's class has {} bytes: at most {} are allowed", options.label.size(),
                       limits::label_bytes_max);
  if (std::string problem = problem_of("job_timeout", options.job_timeout); !problem.empty()) return problem;
  if (std::string problem = problem_of("init_timeout", options.init_timeout); !problem.empty()) return problem;
  if (std::string problem = problem_of("update_timeout", options.update_timeout); !problem.empty()) return problem;
  if (std::string problem = problem_of_devices(options); !problem.empty()) return problem;
  if (std::string problem = problem_of_environment(options.environment); !problem.empty()) return problem;
  if (options.threads_per_worker > limits::threads_per_worker_max)
    return fmt::format("threads_per_worker is {}: at most {} are allowed", options.threads_per_worker,
                       limits::threads_per_worker_max);
  const bool cpp = options.language == Language::cpp;
  // The nodes use the hash as the name of a file.
  if (cpp ? !is_hash(options.program_hash) : !options.program_hash.empty())
    return "a C++ pool is known by the SHA-256 of its program, and only a C++ pool has one";
  return {};
}

/// Messages for pools that others own, or that nobody knows, are ignored; the first of a session is logged.
HeadMachine::PoolInfo* HeadMachine::own_pool(SessionId session, PoolId pool, const char* message_name, Effects& out) {
  const auto found = pools_.find(pool);
  if (found != pools_.end() && found->second.session == session) return &found->second;
  Session& sender = sessions_.at(session);
  const bool known_to_it =
      found == pools_.end() ? sender.past.contains(pool) : found->second.client.value == sender.peer.id;
  if (!known_to_it && !std::exchange(sender.complained, true)) {
    out.emplace_back(Log{fmt::format("{} (pid {}) sent {} for pool {:x}, which is not its own: ignored",
                                     sender.peer.host, sender.peer.pid, message_name, pool.value)});
  }
  return nullptr;
}

/// The session speaks for the pool from now on. Another one that did is of the past, even if it was not seen to end.
void HeadMachine::move_pool(PoolId id, PoolInfo& pool, SessionId session, Effects& out) {
  if (pool.session == session) return;
  sessions_.at(session).pools.insert(id);
  flush_batches(out);  // what was meant for the old session
  const SessionId old = std::exchange(pool.session, session);
  pool.close_at = never;
  pool.peer = sessions_.at(session).peer;
  if (old.value != 0) out.emplace_back(CloseSession{old, "the client opened a newer session"});
}

/// The pool is not this session's, or not any more; `pool` as it calls it.
void HeadMachine::fail_pool(SessionId session, PoolId pool, ErrorKind kind, std::string text, Effects& out) {
  is_past(session, pool);
  out.emplace_back(Send{session, wire::PoolFailed{pool, ErrorInfo::of(kind, std::move(text))}});
}

void HeadMachine::on(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  if (message.pool.value == 0) return refuse(session, "OpenPool without a pool", out);
  message.pool_name.empty() ? open_unnamed(session, std::move(message), now, out)
                            : open_named(session, std::move(message), now, out);
}

void HeadMachine::open_unnamed(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  const PeerInfo& peer = sessions_.at(session).peer;
  if (const std::string problem = problem_of(message.options); !problem.empty()) {
    if (pools_.contains(message.pool)) return refuse(session, "OpenPool of an open pool, with other options", out);
    return fail_pool(session, message.pool, ErrorKind::pool_closed, problem, out);
  }
  const auto [entry, is_new] = pools_.try_emplace(message.pool);
  PoolInfo& pool = entry->second;
  if (is_new) {
    use_program(message.options.program_hash);
    sessions_.at(session).pools.insert(message.pool);
    pool.client = ClientId{peer.id};
    pool.session = session;
    pool.peer = peer;
    pool.options = std::move(message.options);
    pool.spec = message.spec.compact();
    pool.resumed = pool.resuming = message.resumed;
  } else if (pool.client.value != peer.id || pool.named) {
    return refuse(session, "OpenPool of another client's pool", out);
  }
  move_pool(message.pool, pool, session, out);
  const std::string& hash = pool.options.program_hash;
  if (pool.opened) {
    out.emplace_back(Send{session, wire::PoolOpened{message.pool, message.pool, pool.options}});
  } else if (!hash.empty() && !programs_.contains(hash)) {
    ask_for_program(session, hash, out);
  } else {
    open_pool(message.pool, pool, now, out);
  }
}

void HeadMachine::open_pool(PoolId id, PoolInfo& pool, TimePoint now, Effects& out) {
  if (pool.named) return keep_named_pool(id, pool, out);
  pool.opened = true;
  send_to_client(id, wire::PoolOpened{id, id, pool.options}, wire::control_lane, out);
  out.emplace_back(Log{fmt::format("pool {:x} ({}) of {} (pid {}) is {}", id.value, pool.options.label, pool.peer.host,
                                   pool.peer.pid, pool.resumed ? "back" : "open")});
  tell(scheduler::PoolOpened{id, pool.options, pool.resumed}, now, out);
}

void HeadMachine::on(SessionId session, wire::ResumePool&& message, TimePoint now, Effects& out) {
  if (!message.pool_name.empty()) return resume_named(session, std::move(message), now, out);
  const auto found = pools_.find(message.pool);
  const PeerInfo& peer = sessions_.at(session).peer;
  if (found != pools_.end() && found->second.named) return refuse(session, "ResumePool of a named pool", out);
  if (found != pools_.end() && found->second.session == session)
    return refuse(session, "ResumePool of a pool that the session has", out);
  const bool knows = found != pools_.end() && found->second.opened;
  if (!knows || found->second.client.value != peer.id) return not_known(session, message.pool, out);
  move_pool(message.pool, found->second, session, out);
  found->second.resuming = true;
  tell(scheduler::ClientReturned{message.pool, std::move(message.outstanding)}, now, out);
  tell_of_updates(message.pool, now, out);
}

void HeadMachine::not_known(SessionId session, PoolId pool, Effects& out) {
  has_left(session, pool);  // it has something under way for the pool perhaps
  out.emplace_back(Send{session, wire::PoolKnown{pool}});
}

void HeadMachine::on(SessionId session, wire::PoolResumed&& message, TimePoint now, Effects& out) {
  PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (!pool || pool->named) return;
  pool->resuming = false;
  tell(scheduler::PoolResumed{message.pool}, now, out);
}

/// A client keeps the window of limits::submit_window_jobs by itself, and our memory relies on it.
std::string HeadMachine::over_window(PoolInfo& pool, scheduler::Load load, const wire::SubmitJobs& message) {
  load.jobs += message.jobs.size();
  for (const SubmittedJob& job : message.jobs) load.argument_bytes += job.arguments.size();
  if (pool.resuming) pool.most_workers = std::max(pool.most_workers, load.jobs);  // what it had at an earlier head
  const bool few = load.jobs <= std::max<std::uint64_t>(limits::submit_window_jobs, pool.most_workers);
  const bool small = load.argument_bytes <= limits::submit_window_bytes || load.jobs <= pool.most_workers;
  if (few && small && load.jobs <= limits::submit_jobs_max) return {};
  return fmt::format("SubmitJobs beyond the window of a client: {} jobs with {} bytes are open", load.jobs,
                     load.argument_bytes);
}

void HeadMachine::on(SessionId session, wire::SubmitJobs&& message, TimePoint now, Effects& out) {
  PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  const scheduler::Load load = pool->named ? pool->named->unaccepted : scheduler_.load(message.pool);
  if (const std::string wrong = over_window(*pool, load, message); !wrong.empty()) return refuse(session, wrong, out);
  if (pool->named) {
    if (!message.jobs.empty() && message.jobs.back().sequence > pool->named->highest + limits::number_leap_max)
      return refuse(
          session,
          fmt::format("SubmitJobs with job {} behind job {}", message.jobs.back().sequence, pool->named->highest), out);
    return take_jobs(message.pool, *pool->named, std::move(message.jobs), out);
  }
  tell(scheduler::JobsSubmitted{message.pool, std::move(message.jobs)}, now, out);
}

void HeadMachine::on(SessionId session, wire::AddUpdate&& message, TimePoint now, Effects& out) {
  const PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  if (pool->named) return take_update(session, message.pool, *pool->named, std::move(message), out);
  tell(scheduler::UpdateAdded{message.pool, message.number, std::move(message.payload)}, now, out);
}

void HeadMachine::on(SessionId session, wire::AckOutcomes&& message, TimePoint now, Effects& out) {
  const PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  if (pool->named) return take_acks(session, message.pool, *pool->named, std::move(message.sequences), out);
  tell(scheduler::OutcomesAcknowledged{message.pool, std::move(message.sequences)}, now, out);
}

void HeadMachine::on(SessionId session, wire::WantWorkers&& message, TimePoint now, Effects& out) {
  if (!own_pool(session, message.pool, message.name, out)) return;
  tell(scheduler::WorkersWanted{message.pool, message.count}, now, out);
}

void HeadMachine::on(SessionId session, wire::PoolWaits&& message, TimePoint now, Effects& out) {
  const PoolInfo* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  tell(scheduler::ClientWaits{message.pool, message.worker, pool->peer.pid, pool->named != nullptr, message.results,
                              message.workers, message.updates},
       now, out);
}

/// The pool is the session's, or that of its client, who lost the connection meanwhile. A new head does not know who
/// has a named pool.
bool HeadMachine::may_close(const PoolInfo& pool, SessionId session) const {
  if (pool.session == session) return true;
  const bool its_client = pool.client.value == sessions_.at(session).peer.id;
  if (!pool.named) return its_client;
  const bool away = pool.session.value == 0 && pool.named->next.value == 0 && !pool.keeping;
  return away && (its_client || pool.client.value == 0);
}

void HeadMachine::on(SessionId session, wire::ClosePool&& message, TimePoint now, Effects& out) {
  if (message.leave) return leave_pool(session, message.pool, now, out);
  const bool by_name = !message.pool_name.empty();
  const auto found = by_name ? find_named(message.pool_name) : pools_.find(message.pool);
  if (found == pools_.end() || !may_close(found->second, session)) {
    own_pool(session, message.pool, message.name, out);
  } else if (found->second.named) {
    return remove_named_pool(session, found->first, message.pool, now, out);
  } else {
    close_pool(message.pool, now, out);
  }
  out.emplace_back(Send{session, wire::PoolClosed{message.pool}});
}

void HeadMachine::close_pool(PoolId id, TimePoint now, Effects& out) {
  forget_pool(id);
  out.emplace_back(Log{fmt::format("pool {:x} is closed", id.value)});
  tell(scheduler::PoolClosed{id}, now, out);
}

/// Forgets the pool, and its program unless another pool uses it.
void HeadMachine::forget_pool(PoolId id) {
  const auto found = pools_.find(id);
  if (found == pools_.end()) return;
  has_left(found->second.session, id);
  const std::string hash = found->second.options.program_hash;
  flow_.close(id);
  if (found->second.named) names_.erase(found->second.named->name);
  pools_.erase(found);
  const auto uses = program_uses_.find(hash);
  if (uses == program_uses_.end() || --uses->second > 0) return;
  program_uses_.erase(uses);
  programs_.erase(hash);
}

void HeadMachine::use_program(const std::string& hash) {
  if (!hash.empty()) ++program_uses_[hash];
}

}  // namespace dc::head
