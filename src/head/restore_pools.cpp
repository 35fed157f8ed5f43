// See restore_pools.hpp.
#include "head/restore_pools.hpp"

#include <algorithm>
#include <string>
#include <thread>
#include <utility>

#include "net/session.hpp"

namespace dc::head {
namespace {

Result<void> restore(store::Store& store, store::LogId log, HeadMachine& machine, Effects& effects) {
  JournalState state;
  const auto each = [&](store::EntryNumber number, store::Entry&& entry) {
    state.add(number, std::move(entry));
    store.moved(store::Part::loop);
  };
  Result<void> read = store.replay(log, each, store::Attachments::refer);
  if (read) read = load_what_is_used(store, state);
  if (!read && read.error().code != ErrorCode::protocol) return read.error();
  std::string problem = read ? state.problem() : read.error().message;
  if (problem.empty() && !state.born) problem = "its first entry is missing";
  if (problem.empty() && net::log_of_pool(state.born->name) != log) problem = "it is in the place of another pool";
  if (problem.empty()) problem = machine.objection_to(state);
  if (problem.empty()) {
    machine.restore(std::move(state), net::EventLoop::now(), effects);
  } else {
    machine.refuse_pool(log, state, std::move(problem), effects);
  }
  store.moved(store::Part::loop);
  return boost::outcome_v2::success();
}

}  // namespace

Result<void> restore_pools(store::Store& store, HeadMachine& machine, Effects& effects) {
  BOOST_OUTCOME_TRY(logs, store.logs());
  for (const store::LogId log : logs) {
    BOOST_OUTCOME_TRYV(restore(store, log, machine, effects));
  }
  // The head before may still speak; usually reading took longer than that.
  while (store.silence_left() > Duration::zero()) {
    std::this_thread::sleep_for(std::min<Duration>(store.silence_left(), limits::store_hold_look_interval));
    store.moved(store::Part::loop);
  }
  return boost::outcome_v2::success();
}

}  // namespace dc::head
