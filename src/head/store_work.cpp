// See store_work.hpp.
#include "head/store_work.hpp"

#include <utility>

#include "core/limits.hpp"
#include "head/repair_journal.hpp"

namespace dc::head {

void StoreWork::run(Work work, Then then) {
  // Far from the tickets of the machine, which count from 1.
  const store::Ticket ticket = ~store::Ticket{0} - next_++;
  under_way_.emplace(ticket, std::move(then));
  journal_.run(ticket, std::move(work));
}

bool StoreWork::ended(const store::Journaled& done) {
  const auto work = under_way_.extract(done.ticket);
  if (work) work.mapped()(done.refused);
  return !work.empty();
}

void StoreWork::read_on(const std::shared_ptr<PoolReading>& reading) {
  run([reading](store::Store& store) { return reading->read_some(store); },
      [this, reading](const std::string& refused) { was_read(reading, refused); });
}

void StoreWork::was_read(const std::shared_ptr<PoolReading>& reading, const std::string& refused) {
  const TimePoint now = net::EventLoop::now();
  machine_.reading(reading->log(), reading->entries(), refused, effects_);
  if (!refused.empty()) {
    retry_ = loop_.call_at(now + limits::store_retry_delay_max, [this, reading] { read_on(reading); });
  } else if (!reading->over()) {
    read_on(reading);
  } else {
    machine_.pool_read(reading->log(), std::move(reading->state()), reading->problem(), now, effects_);
  }
}

void StoreWork::repair(const JournalRepair& wanted) {
  const auto journal = std::make_shared<RepairedJournal>();
  const auto work = [log = wanted.log, journal](store::Store& store) -> Result<void> {
    BOOST_OUTCOME_TRY(repaired, repair_journal(store, log));
    *journal = std::move(repaired);
    return boost::outcome_v2::success();
  };
  run(work, [this, wanted, journal](const std::string& refused) {
    Result<RepairedJournal> repaired = fail(ErrorCode::io, refused);
    if (refused.empty()) repaired = std::move(*journal);
    machine_.repaired(wanted, std::move(repaired), net::EventLoop::now(), effects_);
  });
}

}  // namespace dc::head
