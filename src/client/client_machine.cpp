// The client's side of one pool: decisions only, see client_machine.hpp.
#include "client/client_machine.hpp"

#include <algorithm>
#include <utility>

#include "core/check.hpp"

namespace dc::client {
namespace {

/// A SubmitJobs message of small jobs is closed when it reaches either figure, so that it stays far below a frame.
constexpr std::size_t message_bytes_max = limits::chunk_bytes;
constexpr std::size_t message_jobs_max = 4096;
/// Encoded size of a job beside its payload, roughly.
constexpr std::size_t job_overhead_bytes = 24;
static_assert(message_bytes_max + limits::inline_payload_max < limits::batch_bytes_max);

ErrorInfo too_large_error(const char* what, std::size_t size, std::uint64_t limit) {
  return ErrorInfo::of(ErrorKind::too_large, too_large_text(what, size, limit));
}

}  // namespace

std::string too_large_text(const char* what, std::uint64_t size, std::uint64_t limit) {
  return std::string(what) + " of " + std::to_string(size) + " bytes is over the head's limit of " +
         std::to_string(limit) + " bytes (payload_bytes_max)";
}

// --- The user ---------------------------------------------------------------------------------------------------

void ClientMachine::submit(std::vector<NewJob> jobs) {
  for (NewJob& job : jobs) {
    if (over_) {
      deliver(job.stream, job.job.sequence, {{}, over_});
    } else {
      jobs_.add(std::move(job));
    }
  }
}

void ClientMachine::update(UpdateNumber number, Payload payload) {
  DC_CHECK(number == last_update() + 1);
  updates_.push_back(std::move(payload));
  if (link_ == Link::ready) send_update(number);
}

void ClientMachine::want_workers(std::uint32_t count) {
  if (std::exchange(wanted_, count) == count) return;
  if (link_ == Link::ready) send(wire::WantWorkers{pool_, wanted_});
}

void ClientMachine::drop_stream(StreamId stream) { jobs_.drop(stream); }

void ClientMachine::close(ErrorInfo error) {
  if (link_ == Link::over) return;
  const bool head_may_know = opened_once_ || link_ == Link::opening;
  end(std::move(error));
  close_pending_ = head_may_know;
  if (session_ && close_pending_) send_close();
}

// --- The session ------------------------------------------------------------------------------------------------

void ClientMachine::session_opened(std::uint64_t payload_bytes_max, TimePoint /*now*/) {
  session_ = true;
  payload_bytes_max_ = payload_bytes_max;
  if (std::exchange(in_outage_, false)) {
    effects_.reports.emplace_back(Note{"connected to the head at " + config_.head_name + " again"});
  }
  if (link_ == Link::over) {
    if (close_pending_) send_close();
    return;
  }
  if (config_.spec.size() > payload_bytes_max_) {
    return end(too_large_error("the worker class with its init data", config_.spec.size(), payload_bytes_max_));
  }
  if (!opened_once_) {
    link_ = Link::opening;
    return send_open(false);
  }
  jobs_.forget_unwanted();  // the head takes what we do not name as acknowledged
  link_ = Link::asking;
  send_resume();
}

void ClientMachine::session_closed(const std::string& why) {
  session_ = false;
  state_.workers = 0;  // a new head has to say how many there are before more is submitted for them
  counts_known_ = false;
  updates_at_head_ = 0;
  waits_at_head_.reset();
  holder_.reset();
  acks_.clear();  // ResumePool says the same; a named pool's are unconfirmed
  if (link_ == Link::over) return;
  link_ = Link::away;
  leave_sent_ = false;
  if (opened_once_ && !std::exchange(in_outage_, true)) {
    effects_.reports.emplace_back(Note{why + "; trying again"});
  }
}

void ClientMachine::receive(wire::Message&& message) {
  std::visit(
      [this](auto&& body) {
        if constexpr (requires { body.pool; }) {
          if (body.pool != pool_) return;
        }
        if constexpr (requires { this->on(std::move(body)); }) on(std::move(body));
      },
      std::move(message));
}

void ClientMachine::on(wire::PoolOpened&& message) {
  if (link_ == Link::opening) {
    is_open(std::move(message));
  } else if (link_ == Link::reopening) {
    send_updates_after(0);
    send_again(jobs_.outstanding());
    send(wire::PoolResumed{pool_}, pool_lane());
    become_ready();
  }
}

void ClientMachine::is_open(wire::PoolOpened&& message) {
  pool_ = message.id;
  if (auto problem = message.existed ? problem_of(message.options) : std::nullopt) {
    send(wire::ClosePool{pool_, true});
    return end(std::move(*problem));
  }
  if (message.existed) tell_differences(message.options);
  if (message.existed) config_.options.keep_updates_history = message.options.keep_updates_history;
  holder_.reset();
  opened_once_ = true;
  first_own_ = message.last_sequence + 1;
  updates_before_ = updates_accepted_ = updates_applied_ = message.updates;
  earlier_.unasked = message.remaining;
  effects_.reports.emplace_back(PoolIsOpen{message.last_sequence, message.updates, message.remaining,
                                           std::move(message.options.label), message.existed,
                                           config_.options.keep_updates_history});
  for (UpdateNumber number = updates_before_ + 1; number <= last_update(); ++number) send_update(number);
  become_ready();
}

void ClientMachine::on(const wire::NeedProgram& message) {
  if (link_ != Link::over && message.hash == config_.options.program_hash) {
    send(wire::Program{message.hash, config_.program}, pool_lane());
  }
}

void ClientMachine::on(const wire::PoolKnown& message) {
  if (link_ != Link::asking) return;
  if (!message.known && !named()) {
    link_ = Link::reopening;
    return send_open(true);
  }
  if (!message.known) {
    return end(ErrorInfo::of(ErrorKind::pool_not_found,
                             "the head does not have this named pool any more: it was closed or removed"));
  }
  count_earlier(message.earlier);
  if (message.more) return;
  end_jobs(jobs_.lost_after(message.last_sequence), lost_error());
  on(wire::UpdateAccepted{pool_, message.updates});
  send_updates_after(message.updates);
  send_again(message.missing);
  send(wire::PoolResumed{pool_}, pool_lane());
  if (named()) acks_ = jobs_.unconfirmed();
  settle_earlier();
  if (earlier_.credit > 0) send(wire::WantOutcomes{pool_, earlier_.credit, earlier_.in_order});
  become_ready();
}

void ClientMachine::on(wire::JobValues&& message) {
  for (wire::ValueItem& item : message.items) finish(item.sequence, {std::move(item.value), {}});
}

void ClientMachine::on(wire::JobError&& message) {
  finish(message.sequence, {std::move(message.exception), std::move(message.error)});
}

void ClientMachine::on(const wire::UpdateAccepted& message) {
  head_has_updates(message.number);
  if (message.number <= updates_accepted_ || message.number > last_update()) return;
  updates_accepted_ = message.number;
  effects_.reports.emplace_back(UpdatesAccepted{updates_accepted_});
}

void ClientMachine::on(const wire::UpdateApplied& message) {
  head_has_updates(message.number);
  if (message.number <= updates_applied_ || message.number > last_update()) return;
  updates_applied_ = message.number;
  forget_applied_updates();
  effects_.reports.emplace_back(UpdatesDone{updates_applied_});
}

void ClientMachine::head_has_updates(UpdateNumber number) {
  updates_at_head_ = std::max(updates_at_head_, std::min(number, last_update()));
  forget_applied_updates();
}

/// Without history every worker has these or starts without them: no head needs their bytes again. The first worker
/// ever gets them all. (A journal may lose them.) The head of this session must have them first: when it began, it may
/// have been told of fewer that are no more, and waits for the others.
void ClientMachine::forget_applied_updates() {
  if (config_.options.keep_updates_history || named() || !had_workers_) return;
  const UpdateNumber last = std::min(updates_applied_, updates_at_head_);
  for (; updates_forgotten_ < last; ++updates_forgotten_) update_payload(updates_forgotten_ + 1) = {};
}

void ClientMachine::on(wire::UpdateFailed&& message) {
  effects_.reports.emplace_back(UpdateRaised{message.number, {message.exception.compact(), std::move(message.error)}});
}

void ClientMachine::on(wire::PoolFailed&& message) {
  if (link_ != Link::over) end(std::move(message.error));
}

void ClientMachine::on(const wire::PoolClosed&) {
  close_pending_ = false;
  if (link_ == Link::over) return;
  ErrorInfo error;
  error.kind = ErrorKind::pool_closed;
  error.message =
      leave_sent_ ? "this program has left " + quoted() : "the head at " + config_.head_name + " closed the pool";
  end(std::move(error));
}

void ClientMachine::on(const wire::PoolState& message) {
  state_ = message;
  counts_known_ = true;
  if (wanted_ > 0 && state_.workers >= wanted_) want_workers(0);  // or the head would keep them for ever
  had_workers_ |= state_.workers > 0;
  forget_applied_updates();
  effects_.reports.emplace_back(CountsChanged{message});
}

void ClientMachine::on(wire::Notice&& message) { effects_.reports.emplace_back(Note{std::move(message.text)}); }

void ClientMachine::on(wire::OutputLines&& message) { effects_.reports.emplace_back(OutputSeen{std::move(message)}); }

// --- Sending ----------------------------------------------------------------------------------------------------

void ClientMachine::send(wire::Message message, wire::Lane lane) {
  effects_.sends.push_back({std::move(message), lane});
}

void ClientMachine::send_open(bool resumed) {
  send(wire::OpenPool{pool_, config_.options, resumed, config_.spec, config_.name, config_.attach_only, config_.steal,
                      config_.process},
       pool_lane());
}

void ClientMachine::send_close() { send(wire::ClosePool{pool_, false, opened_once_ ? std::string() : config_.name}); }

void ClientMachine::send_update(UpdateNumber number) {
  send(wire::AddUpdate{pool_, number, update_payload(number)}, pool_lane());
}

/// Those that the head lacks. Without history it is told first how many are no more.
void ClientMachine::send_updates_after(UpdateNumber known) {
  if (!named() && !config_.options.keep_updates_history) {
    send(wire::AddUpdate{pool_, updates_forgotten_, {}}, pool_lane());
    known = std::max(known, updates_forgotten_);
  }
  for (UpdateNumber number = std::max(known, updates_before_) + 1; number <= last_update(); ++number)
    send_update(number);
}

/// Jobs that the head has lost. In the pool's lane whatever their size, so that PoolResumed comes after them.
void ClientMachine::send_again(const std::vector<JobSequence>& sequences) {
  wire::SubmitJobs message{pool_, {}};
  std::size_t bytes = 0;
  const auto flush = [&] {
    if (!message.jobs.empty()) send(std::exchange(message, {pool_, {}}), pool_lane());
    bytes = 0;
  };
  for (const JobSequence sequence : sequences) {
    const JobLadder::Sent* job = jobs_.find_sent(sequence);
    if (!job) continue;
    const bool large = job->arguments.size() > limits::inline_payload_max;
    if (large) flush();
    message.jobs.push_back({sequence, job->after_update, job->arguments, job->key});
    bytes += job->arguments.size() + job->key.size() + job_overhead_bytes;
    if (large || bytes >= message_bytes_max || message.jobs.size() >= message_jobs_max) flush();
  }
  flush();
}

void ClientMachine::become_ready() {
  link_ = Link::ready;
  if (wanted_ != 0) send(wire::WantWorkers{pool_, wanted_});
}

/// Sends waiting jobs as far as the window reaches, always as many as there are workers: none is idle for its size.
void ClientMachine::submit_waiting() {
  wire::SubmitJobs message{pool_, {}};
  std::size_t bytes = 0;
  const auto flush = [&] {
    if (!message.jobs.empty()) send(std::exchange(message, {pool_, {}}));
    bytes = 0;
  };
  while (jobs_.has_waiting()) {
    NewJob& next = jobs_.first_waiting();
    SubmittedJob& job = next.job;
    const std::size_t size = job.arguments.size();
    const bool room =
        jobs_.sent() < limits::submit_window_jobs && jobs_.sent_bytes() + size <= limits::submit_window_bytes;
    if (!room && jobs_.sent() >= std::clamp<std::size_t>(state_.workers, 1, limits::submit_jobs_max)) break;
    if (size > payload_bytes_max_) {
      deliver(next.stream, job.sequence, {{}, too_large_error("a job's argument", size, payload_bytes_max_)});
      jobs_.drop_first();
      continue;
    }
    jobs_.first_is_sent();
    if (size > limits::inline_payload_max) {
      const wire::Lane lane = std::max<wire::Lane>(pool_lane() + job.sequence, 1);
      send(wire::SubmitJobs{pool_, {std::move(job)}}, lane);
    } else {
      bytes += size + job.key.size() + job_overhead_bytes;
      message.jobs.push_back(std::move(job));
      if (bytes >= message_bytes_max || message.jobs.size() >= message_jobs_max) flush();
    }
    jobs_.drop_first();
  }
  flush();
}

Effects ClientMachine::take_effects(TimePoint now) {
  if (link_ == Link::ready) {
    send_acks();
    submit_waiting();
    if (earlier_.reading) ask_for_earlier();
    if (leaving_) leave_if_all_accepted();
  }
  watch(now);
  return std::exchange(effects_, {});
}

// --- Outcomes ---------------------------------------------------------------------------------------------------

/// The first outcome of a job counts; one that comes again after a break is dropped.
void ClientMachine::finish(JobSequence sequence, Outcome outcome) {
  if (link_ == Link::over) return;
  const JobLadder::Arrival arrival = jobs_.arrived(sequence);
  if (arrival.acknowledge) acks_.push_back(sequence);
  const bool earlier = sequence < first_own_;
  if (earlier && (arrival.is_new || arrival.revived) && earlier_.credit > 0) --earlier_.credit;
  if (!arrival.is_new) return;
  if (earlier) ++earlier_.in_hand;
  deliver(earlier ? earlier_stream : arrival.stream, sequence, std::move(outcome));
}

/// They have this error, in this order.
void ClientMachine::end_jobs(const JobLadder::Ended& jobs, const SharedError& error) {
  for (const auto& [sequence, stream] : jobs) deliver(stream, sequence, {{}, error});
}

void ClientMachine::deliver(StreamId stream, JobSequence sequence, Outcome outcome) {
  if (stream == nobody) return;
  if (effects_.deliveries.empty() || effects_.deliveries.back().stream != stream) {
    effects_.deliveries.push_back({stream, {}});
  }
  effects_.deliveries.back().completed.push_back({sequence, std::move(outcome)});
}

void ClientMachine::end(ErrorInfo error) {
  link_ = Link::over;
  holder_.reset();
  over_ = std::move(error);
  if (leaving_) tell_unaccepted(*over_);
  end_jobs(jobs_.end(), over_);
  acks_.clear();
  effects_.reports.emplace_back(PoolIsOver{*over_});
}

}  // namespace dc::client
