// See redis_beat.hpp.
#include "store/redis_beat.hpp"

#include <fmt/format.h>

#include "store/held_by.hpp"

namespace dc::store {
namespace {

constexpr int attempts_max = 3;

}  // namespace

Result<void> RedisBeat::connect() {
  BOOST_OUTCOME_TRY(fresh, link_.connect());
  if (!fresh) return boost::outcome_v2::success();
  armed_ = false;
  // Others ask the server whether this connection is gone. Not all servers tell.
  BOOST_OUTCOME_TRY(number, link_.exchange({{"CLIENT", "ID"}}));
  lease_.connection = number[0].is_error() ? "" : std::to_string(number[0].integer());
  return boost::outcome_v2::success();
}

Result<void> RedisBeat::look() {
  if (armed_) return boost::outcome_v2::success();
  const std::string term = link_.key("term");
  const std::string lease = link_.key("lease");
  BOOST_OUTCOME_TRY(seen, link_.ask({{"WATCH", term, lease}, {"GET", term}, {"GET", lease}}));
  BOOST_OUTCOME_TRYV(judge(seen[1], seen[2]));
  armed_ = true;
  return boost::outcome_v2::success();
}

/// Whether both are this head's. A lease that is missing is nobody's. One of ours with a later beat than any that we
/// wrote is of a copy of this process (a machine that was cloned).
Result<void> RedisBeat::judge(const RedisReply& term, const RedisReply& lease) {
  const std::string store = "the store (" + link_.name() + ")";
  if (term.is_nil()) {
    return fail(ErrorCode::fenced,
                fmt::format("{} has lost what was stored there (it was restarted without its data, or emptied): start "
                            "the head again; named pools are lost",
                            store));
  }
  const Lease other = Lease::parse(lease.text());
  const bool ours = other.term == lease_.term && other.beat <= lease_.beat;
  if (terms_->contains(term.text()) && (lease.is_nil() || ours)) return boost::outcome_v2::success();
  if (other.term != lease_.term && other.owner.pid != 0) return held_by(store, other.owner);
  return fail(
      ErrorCode::fenced,
      fmt::format("{} does not know this head any more: another one has taken it, or it fell back to an earlier "
                  "state",
                  store));
}

LeaseThread::Renewal RedisBeat::renew() {
  LeaseThread::Renewal renewal;
  bool again = true;
  for (int attempt = 0; again && attempt < attempts_max; ++attempt) renewal = beat(again);
  return renewal;
}

LeaseThread::Renewal RedisBeat::beat(bool& again) {
  again = false;
  if (const auto connected = connect(); !connected) return {connected.error()};
  if (const auto seen = look(); !seen) return {seen.error()};
  Lease next = lease_;
  ++next.beat;
  next.pausing = BootClock::now() < pauses_until_;
  const std::string term = link_.key("term");
  const std::string lease = link_.key("lease");
  armed_ = false;
  const auto replies = link_.exchange({{"MULTI"},
                                       {"SET", lease, next.text()},
                                       {"EXEC"},
                                       {"WATCH", term, lease},
                                       {"GET", term},
                                       {"GET", lease},
                                       {"INFO", "memory"},
                                       {"INFO", "replication"}});
  if (!replies) {
    lease_ = next;  // it may stand there
    return {replies.error()};
  }
  const auto& answer = replies.value();
  for (const std::size_t at : {3U, 4U, 5U}) {
    if (answer[at].is_error()) return {redis_error(link_.name(), answer[at].text())};
  }
  const RedisReply& executed = answer[2];
  const bool refused = answer[1].is_error() || executed.is_error();
  if (!refused && executed.is_array()) lease_ = next;
  if (const auto judged = judge(answer[4], answer[5]); !judged) return {judged.error()};
  armed_ = true;
  if (refused) {
    const Error why = redis_error(link_.name(), answer[1].is_error() ? answer[1].text() : executed.text());
    // A server that became a replica may be behind.
    const bool primary = info_value(answer[7].text(), "role") == "master";
    const bool held = why.code == ErrorCode::full && primary;
    return {why, held ? Duration(limits::store_takeover_pause) : Duration::zero()};
  }
  if (executed.is_nil()) {  // this head's other connection touched the term
    again = true;
    return {
        fail(ErrorCode::unreachable, fmt::format("{} did not carry out a renewal: it is tried again", link_.name()))};
  }
  return {boost::outcome_v2::success(), Duration::zero(), throws_away(link_.name(), answer[6].text())};
}

}  // namespace dc::store
