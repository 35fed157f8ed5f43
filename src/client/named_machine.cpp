// The client machine's part for named pools: they are in the head's journal and outlive their client.
#include <algorithm>
#include <utility>

#include "client/client_machine.hpp"

namespace dc::client {

namespace {

/// The head gets leave for so many at once, unless fewer are left.
constexpr std::uint32_t credit_step = limits::earlier_outcomes_open / 8;

const char* name_of(Language language) { return language == Language::python ? "Python" : "C++"; }

}  // namespace

// --- Opening and resuming ---------------------------------------------------------------------------------------

void ClientMachine::on(wire::PoolHeld&& message) {
  if (link_ != Link::opening) return;
  const std::uint32_t seconds = (message.patience_ms + 999) / 1000;
  holder_ = Holder{message.holder, std::move(message.process),
                   quoted() + " is in the hands of " + message.host + " (pid " + std::to_string(message.pid) +
                       "), which has lost its connection to the head: waiting up to " + std::to_string(seconds) +
                       " s for it to come back, then this program takes the pool (steal takes it at once)"};
}

void ClientMachine::holder_is_gone() {
  if (link_ == Link::opening && holder_) send(wire::HolderGone{pool_, holder_->client});
  holder_.reset();
}

/// Why this program can do nothing with a pool of these options.
std::optional<ErrorInfo> ClientMachine::problem_of(const PoolOptions& options) const {
  const PoolOptions& own = config_.options;
  const bool same_language = options.language == own.language;
  if (same_language && (own.language == Language::python || options.label == own.label)) return std::nullopt;
  ErrorInfo error;
  error.kind = ErrorKind::serialization;
  error.message = quoted() + " runs the " + name_of(options.language) + " class " + options.label;
  error.message += same_language ? ", not " + own.label + ": attach with that class, or take another name"
                                 : std::string(", and this program is written in ") + name_of(own.language) +
                                       ": attach from a program of that language, or take another name";
  return error;
}

/// What the user gave and what is not used, because the pool was there before.
void ClientMachine::tell_differences(const PoolOptions& options) {
  const PoolOptions& own = config_.options;
  std::string text;
  if (!config_.attach_only && options.label != own.label) {
    text = "goes on with its class " + options.label + "; " + own.label + " is not used";
  } else if (!config_.attach_only && options.program_hash != own.program_hash) {
    text = "goes on with the program that opened it; this one is another build and is not sent to the nodes";
  } else if (options.python_version != own.python_version) {
    text = "runs under Python " + options.python_version + ", this program under " + own.python_version +
           ": functions and classes that travel by value may not work";
  }
  if (!text.empty()) effects_.reports.emplace_back(Note{quoted() + " " + text});
}

void ClientMachine::send_resume() {
  const std::vector<JobSequence> received = jobs_.received();
  earlier_.to_come = earlier_.again = 0;
  auto next = received.begin();
  for (bool more = true; more;) {
    const auto left = static_cast<std::size_t>(received.end() - next);
    const auto part = next + static_cast<std::ptrdiff_t>(std::min(left, limits::sequences_per_message));
    more = part != received.end();
    send(wire::ResumePool{
        pool_, more ? std::vector<JobSequence>{} : jobs_.outstanding(), config_.name, first_own_, {next, part}, more});
    next = part;
  }
}

// --- What the journal has lost ----------------------------------------------------------------------------------
// A store that does not write at once can lose its last entries with the power, or when an older copy takes its place.

ErrorInfo ClientMachine::lost_error() const {
  return ErrorInfo::of(
      ErrorKind::not_stored,
      "the job was accepted, and the journal of " + quoted() +
          " has lost it: its store lost its last entries (a power failure, or an older copy). Submit it again");
}

void ClientMachine::count_earlier(const std::vector<JobSequence>& intervals) {
  for (std::size_t i = 0; i + 1 < intervals.size(); i += 2) {
    for (JobSequence sequence = intervals[i]; sequence <= intervals[i + 1] && sequence < first_own_; ++sequence) {
      if (jobs_.is_received(sequence)) continue;
      ++earlier_.to_come;
      earlier_.again += jobs_.is_confirmed(sequence) ? 1 : 0;
    }
  }
}

/// Which numbers are lost is not known here, only how many.
void ClientMachine::settle_earlier() {
  const std::uint64_t to_come = earlier_.to_come;
  const std::uint64_t expected = earlier_.unasked + earlier_.credit, fresh = to_come - earlier_.again;
  earlier_.lost += expected - std::min(expected, fresh);
  earlier_.credit = static_cast<std::uint32_t>(std::min<std::uint64_t>(earlier_.credit, to_come));
  earlier_.unasked = to_come - earlier_.credit;
}

// --- Jobs -------------------------------------------------------------------------------------------------------

void ClientMachine::on(const wire::JobsAccepted& message) {
  for (const JobSequence sequence : message.sequences) jobs_.accepted(sequence);
}

void ClientMachine::on(wire::JobsRefused&& message) {
  std::size_t refused = 0;
  const SharedError error = message.error;
  for (const JobSequence sequence : message.sequences) {
    const auto [was_sent, stream] = jobs_.refused(sequence);
    if (!was_sent) continue;
    ++refused;
    deliver(stream, sequence, {{}, error});
  }
  if (leaving_ && refused > 0) {
    effects_.reports.emplace_back(Note{quoted() + " did not accept " + std::to_string(refused) +
                                       (refused == 1 ? " job: " : " jobs: ") + message.error.message});
  }
}

// --- Outcomes ---------------------------------------------------------------------------------------------------

/// Of any pool; those of a named one may be millions at once.
void ClientMachine::send_acks() {
  std::vector<JobSequence> acks = std::exchange(acks_, {});
  while (acks.size() > limits::sequences_per_message) {
    const auto from = acks.end() - static_cast<std::ptrdiff_t>(limits::sequences_per_message);
    send(wire::AckOutcomes{pool_, {from, acks.end()}});
    acks.erase(from, acks.end());
  }
  if (!acks.empty()) send(wire::AckOutcomes{pool_, std::move(acks)});
}

void ClientMachine::on(wire::JobErrors&& message) {
  const SharedError error = std::move(message.error);
  for (const JobSequence sequence : message.sequences) finish(sequence, {{}, error});
}

void ClientMachine::consumed(const std::vector<JobSequence>& sequences) {
  for (const JobSequence sequence : sequences) {
    if (!jobs_.consumed(sequence)) continue;
    acks_.push_back(sequence);
    if (sequence < first_own_) --earlier_.in_hand;
  }
}

void ClientMachine::on(const wire::AcksKept& message) {
  for (const JobSequence sequence : message.sequences) jobs_.confirmed(sequence);
}

void ClientMachine::read_earlier(bool in_order) {
  earlier_.reading = true;
  earlier_.in_order = in_order;
}

void ClientMachine::ask_for_earlier() {
  for (; earlier_.lost > 0; --earlier_.lost) deliver(earlier_stream, 0, {{}, lost_error()});
  const std::uint32_t open = earlier_.credit + earlier_.in_hand;
  if (earlier_.unasked == 0 || leaving_ || open + credit_step > limits::earlier_outcomes_open) return;
  const auto count =
      static_cast<std::uint32_t>(std::min<std::uint64_t>(limits::earlier_outcomes_open - open, earlier_.unasked));
  earlier_.unasked -= count;
  earlier_.credit += count;
  send(wire::WantOutcomes{pool_, count, earlier_.in_order});
}

// --- Leaving ----------------------------------------------------------------------------------------------------

void ClientMachine::leave() {
  leaving_ = true;
  if (link_ == Link::over || opened_once_) return;
  end(ErrorInfo::of(ErrorKind::pool_closed, "the pool was left before it was open"));
}

/// Acknowledgements of this turn are sent before it.
void ClientMachine::leave_if_all_accepted() {
  const bool all = unsettled() == 0;
  if (!all || std::exchange(leave_sent_, true)) return;
  send(wire::ClosePool{pool_, true});
}

void ClientMachine::abandon(ErrorInfo error) {
  if (link_ != Link::over) end(std::move(error));
}

/// Who leaves has nobody to give errors of jobs to.
void ClientMachine::tell_unaccepted(const ErrorInfo& why) {
  const std::size_t jobs = jobs_.unsettled();
  const std::uint64_t updates = last_update() - updates_accepted_;
  if (jobs + updates == 0) return;
  std::string text = std::to_string(jobs) + (jobs == 1 ? " job" : " jobs");
  if (updates > 0) text += " and " + std::to_string(updates) + (updates == 1 ? " update" : " updates");
  effects_.reports.emplace_back(
      Note{"it is not known whether " + quoted() + " has the last " + text + ": " + why.message});
}

}  // namespace dc::client
