// See journal.hpp.
#include "journal.hpp"

#include <algorithm>
#include <memory>
#include <utility>

#include "text.hpp"

namespace dc::sim {

// --- Lives of the head ------------------------------------------------------------------------------------------

void Journal::begin(Head head) {
  head_ = std::move(head);
  if (!plan_.standby) record_.server().answer();  // a head would wait for it
  store_.emplace(world_, plan_, record_.server(), place_,
                 [this](store::LogId log, const store::Entry& entry) { stands_after_all(log, entry); });
  store_->cut(cut_until_);
}

void Journal::keep() {
  if (store_->leased()) renew_when_due();
}

void Journal::start() {
  machine_.emplace(limits::store_patience, world_.now());
  go_on();
}

void Journal::end(bool in_order) {
  const auto finish = [this] {
    const store::StoreAnswer answer = make_call();
    machine_->ended(*std::exchange(call_, std::nullopt), answer, world_.now());
  };
  if (machine_ && in_order) {
    machine_->close(world_.now() + limits::store_close_patience);
    if (call_ && !arrived_) finish();
    while (!machine_->over(world_.now()) && (call_ = machine_->next(world_.now()))) finish();
  } else if (machine_ && call_ && !arrived_ && world_.chance.percent(50)) {
    finish();  // and nobody hears the answer
  }
  if (in_order) store_->release();
  store_.reset();
  machine_.reset();
  call_.reset();
  arrived_ = false;
  armed_for_ = never;
  waking_ = false;
  under_way_.clear();
  refused_.clear();
}

// --- The lease, in the place of store/lease_thread.cpp ----------------------------------------------------------

void Journal::renew_when_due() {
  const TimePoint when = store_->lease().next_at();
  if (when == never) return wake();
  head_.later(std::max<Duration>(when - world_.now(), 1us), [this] { renew(); });
}

/// The question takes its time, and so does the answer, which may not come at all.
void Journal::renew() {
  const TimePoint asked = world_.now();
  if (!store_->lease().renews(asked)) return renew_when_due();
  const Duration way_max = std::min<Duration>(plan_.write_max, limits::store_call_timeout / 2);
  head_.happens(world_.chance.skewed(10us, way_max), [this, asked, way_max] {
    std::optional<store::Renewal> answer = store_->renew();
    const Duration patience = asked + limits::store_call_timeout - world_.now();
    const bool slow = world_.chance.percent(plan_.answers_slow);
    const Duration back = !answer ? patience
                          : slow  ? world_.chance.between(0us, patience)
                                  : world_.chance.skewed(10us, way_max);
    if (!answer) answer = store::Renewal{fail(ErrorCode::unreachable, "the store does not answer")};
    head_.later(back, [this, asked, answer = std::move(*answer)]() mutable {
      store_->lease().renewed(asked, std::move(answer), world_.now());
      renew_when_due();
    });
  });
}

store::Hold Journal::hold() const { return machine_ && machine_->fenced() ? store::Hold::lost : store_->hold(); }

void Journal::cut(Duration time) {
  cut_until_ = world_.now() + time;
  if (store_) store_->cut(cut_until_);
}

void Journal::mend() {
  cut_until_ = {};
  if (store_) store_->cut(cut_until_);
}

// --- The machine, in the place of store/journal_thread.cpp ------------------------------------------------------

void Journal::write(head::JournalWrite&& write) {
  const auto decoded = head::decode(store::Entry(write.entry));
  if (const auto* taken = std::get_if<head::JobsTaken>(&decoded.value())) {
    for (const SubmittedJob& job : taken->jobs) under_way_[write.ticket].push_back(job_in(job.arguments.view()));
  }
  if (const auto* born = std::get_if<head::PoolBorn>(&decoded.value())) record_.named(born->id, write.log);
  machine_->write(write.ticket, write.log, write.number, std::move(write.entry), std::move(write.erased),
                  write.refusable);
  go_on();
}

void Journal::remove(const head::JournalRemove& remove) {
  machine_->remove(remove.ticket, remove.log);
  go_on();
}

void Journal::raise_term(std::uint64_t above) {
  machine_->raise_term(above);
  go_on();
}

void Journal::go_on() {
  if (call_) return;
  store_->moved(store::Part::journal);
  call_ = machine_->next(world_.now());
  if (call_) {
    const bool writes = std::holds_alternative<store::Write>(*call_) || std::holds_alternative<store::Remove>(*call_);
    head_.happens(world_.chance.skewed(10us, writes ? plan_.write_max : plan_.write_max / 10),
                  [this] { call_arrives(); });
    return;
  }
  const TimePoint when = machine_->next_at();
  if (machine_->fenced() || when >= armed_for_) return;
  armed_for_ = when;
  head_.later(std::max<Duration>(when - world_.now(), 1us), [this, when] {
    if (armed_for_ != when) return;
    armed_for_ = never;
    go_on();
  });
}

store::StoreAnswer Journal::make_call() { return store::make_call(*store_, *call_); }

/// What the call does, it does now. A head that is frozen hears of it later.
void Journal::call_arrives() {
  arrived_ = true;
  head_.run([this, answer = make_call()] {
    arrived_ = false;
    machine_->ended(*std::exchange(call_, std::nullopt), answer, world_.now());
    for (const std::string& warning : machine_->take_warnings()) world_.note("journal", "{}", warning);
    if (machine_->take_news()) wake();
    go_on();
  });
}

/// The head hears of it a little later.
void Journal::wake() {
  if (std::exchange(waking_, true)) return;
  head_.later(world_.chance.skewed(5us, 2ms), [this] {
    waking_ = false;
    head_.moved();
  });
}

std::vector<store::Journaled> Journal::take_done() {
  std::vector<store::Journaled> done = machine_->take_done();
  for (const store::Journaled& one : done) {
    const auto jobs = under_way_.find(one.ticket);
    if (jobs == under_way_.end()) continue;
    if (!one.refused.empty()) refused_.insert(jobs->second.begin(), jobs->second.end());
    under_way_.erase(jobs);
  }
  return done;
}

void Journal::stands_after_all(store::LogId log, const store::Entry& entry) {
  const auto decoded = head::decode(store::Entry(entry));
  const auto* taken = std::get_if<head::JobsTaken>(&decoded.value());
  for (const SubmittedJob& job : taken ? taken->jobs : std::vector<SubmittedJob>{}) {
    if (const JobId id = job_in(job.arguments.view()); refused_.contains(id)) ledger_.haunts(PoolId{log}, id);
  }
}

}  // namespace dc::sim
