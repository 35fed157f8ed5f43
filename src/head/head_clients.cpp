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

void HeadMachine::on(SessionId session, wire::OpenPool&& message, TimePoint now, Effects& out) {
  if (message.pool.value == 0) return refuse(session, "OpenPool without a pool", out);
  flush_batches(out);  // what was meant for a session that loses the pool
  HeadPool* pool = message.pool_name.empty() ? open_direct(session, std::move(message), now, out)
                                             : open_kept(session, std::move(message), now, out);
  if (pool && pool->holder().session == session) open_or_ask_for_program(session, *pool, out);
}

void HeadMachine::on(SessionId session, wire::ResumePool&& message, TimePoint, Effects& out) {
  if (const auto broken = find_refused(message.pool_name); broken != refused_.end()) {
    has_left(session, message.pool);
    return fail_pool(session, message.pool, ErrorKind::not_stored, refusal(broken->second), out);
  }
  HeadPool* pool = find_pool(message.pool);
  if (!pool) return not_known(session, message.pool, out);
  flush_batches(out);
  const PeerInfo& peer = sessions_.at(session).peer;
  with(*pool, out, [&](auto& it, auto& effects) { it.resume(session, peer, std::move(message), effects); });
}

void HeadMachine::not_known(SessionId session, PoolId pool, Effects& out) {
  has_left(session, pool);  // it has something under way for the pool perhaps
  out.emplace_back(Send{session, wire::PoolKnown{pool}});
}

void HeadMachine::on(SessionId session, wire::PoolResumed&& message, TimePoint, Effects& out) {
  HeadPool* pool = own_pool(session, message.pool, message.name, out);
  if (pool) with(*pool, out, [](auto& it, auto& effects) { it.resumed(effects); });
}

/// A client keeps the window of limits::submit_window_jobs by itself, and our memory relies on it.
std::string HeadMachine::over_window(HeadPool& pool, scheduler::Load load, const wire::SubmitJobs& message) {
  load.jobs += message.jobs.size();
  for (const SubmittedJob& job : message.jobs) load.argument_bytes += job.arguments.size();
  if (pool.resuming) pool.most_workers = std::max(pool.most_workers, load.jobs);  // what it had at an earlier head
  const bool few = load.jobs <= std::max<std::uint64_t>(limits::submit_window_jobs, pool.most_workers);
  const bool small = load.argument_bytes <= limits::submit_window_bytes || load.jobs <= pool.most_workers;
  if (few && small && load.jobs <= limits::submit_jobs_max) return {};
  return fmt::format("SubmitJobs beyond the window of a client: {} jobs with {} bytes are open", load.jobs,
                     load.argument_bytes);
}

void HeadMachine::on(SessionId session, wire::SubmitJobs&& message, TimePoint, Effects& out) {
  HeadPool* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  if (const std::string wrong = over_window(*pool, pool->load(scheduler_), message); !wrong.empty())
    return refuse(session, wrong, out);
  with(*pool, out, [&](auto& it, auto& effects) { it.submit(session, std::move(message.jobs), effects); });
}

void HeadMachine::on(SessionId session, wire::AddUpdate&& message, TimePoint, Effects& out) {
  HeadPool* pool = own_pool(session, message.pool, message.name, out);
  if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.update(session, std::move(message), effects); });
}

void HeadMachine::on(SessionId session, wire::AckOutcomes&& message, TimePoint, Effects& out) {
  HeadPool* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  with(*pool, out, [&](auto& it, auto& effects) { it.acknowledge(session, std::move(message.sequences), effects); });
}

void HeadMachine::on(SessionId session, wire::WantOutcomes&& message, TimePoint, Effects& out) {
  HeadPool* pool = own_pool(session, message.pool, message.name, out);
  if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.want_outcomes(message, effects); });
}

void HeadMachine::on(SessionId session, wire::WantWorkers&& message, TimePoint now, Effects& out) {
  if (!own_pool(session, message.pool, message.name, out)) return;
  tell(scheduler::WorkersWanted{message.pool, message.count}, now, out);
}

void HeadMachine::on(SessionId session, wire::PoolWaits&& message, TimePoint now, Effects& out) {
  const HeadPool* pool = own_pool(session, message.pool, message.name, out);
  if (!pool) return;
  tell(scheduler::ClientWaits{message.pool, message.worker, pool->holder().peer.pid, pool->keeps(), message.results,
                              message.workers, message.updates},
       now, out);
}

/// Who waits on this machine of the holder has seen that its process is gone.
void HeadMachine::on(SessionId session, wire::HolderGone&& message, TimePoint now, Effects& out) {
  flush_batches(out);
  for (const PoolId id : std::set<PoolId>(sessions_.at(session).pools)) {
    HeadPool* pool = find_pool(id);
    if (pool) with(*pool, out, [&](auto& it, auto& effects) { it.holder_gone(session, message, now, effects); });
  }
}

void HeadMachine::on(SessionId session, wire::ClosePool&& message, TimePoint now, Effects& out) {
  HeadPool* pool = message.pool_name.empty() || message.leave ? find_pool(message.pool) : find_kept(message.pool_name);
  const Session& sender = sessions_.at(session);
  const bool may = pool && (message.leave ? sender.pools.contains(message.pool) || pool->holder().session == session
                                          : pool->may_close(session, sender.peer.id));
  if (!may) {
    own_pool(session, message.pool, message.name, out);
    out.emplace_back(Send{session, wire::PoolClosed{message.pool}});
    return;
  }
  flush_batches(out);
  with(*pool, out, [&](auto& it, auto& effects) {
    message.leave ? it.leave(session, now, effects) : it.close(session, message.pool, effects);
  });
}

void HeadMachine::on(SessionId session, wire::SeeOutcomes&& message, TimePoint, Effects& out) {
  const KeptPool* pool = find_kept(message.pool_name);
  const wire::Lane lane = pool ? pool->id.value : wire::control_lane;
  out.emplace_back(
      Send{session, pool ? pool->see(message) : wire::OutcomesSeen{false, {}, message.after, false}, lane});
}

/// Somebody else may have the pool meanwhile: nothing is taken from that.
void HeadMachine::on(SessionId session, wire::ForgetKeys&& message, TimePoint, Effects& out) {
  const auto fail = [&](ErrorKind kind, std::string text) {
    fail_pool(session, message.pool, kind, std::move(text), out);
  };
  if (const auto broken = find_refused(message.pool_name); broken != refused_.end())
    return fail(ErrorKind::not_stored, refusal(broken->second));
  KeptPool* pool = find_kept(message.pool_name);
  if (!pool) {
    return fail(ErrorKind::pool_not_found,
                fmt::format("the head on {} has no pool named '{}': `distributed-computing pools list` shows those "
                            "that it has",
                            facts_.host, message.pool_name));
  }
  if (!store_trouble_.empty())
    return fail(ErrorKind::not_stored, fmt::format("nothing was forgotten: {}", store_trouble_));
  with(*pool, out, [&](HeadPool&, PoolEffects& effects) {
    pool->forget_keys(session, message.pool, std::move(message.keys), message.all_keys, effects);
  });
}

/// The clock on the wall may be set meanwhile, so it is looked at again and again.
void HeadMachine::forget_old_keys(TimePoint now, Effects& out) {
  keys_look_at_ = now + limits::keys_look_interval;
  for (const auto& [name, pool] : names_) {
    with(*pool, out, [&, kept = pool](HeadPool&, PoolEffects& effects) { kept->forget_old_keys(wall_, effects); });
  }
}

void HeadMachine::on(SessionId session, wire::SeeDefinitions&& message, TimePoint, Effects& out) {
  const KeptPool* pool = find_kept(message.pool_name);
  const wire::Lane lane = pool ? pool->id.value : wire::control_lane;
  out.emplace_back(Send{session, pool ? pool->see(message) : wire::DefinitionsSeen{}, lane});
}

}  // namespace dc::head
