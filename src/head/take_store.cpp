// See take_store.hpp. What is decided is decided by CandidateMachine; here are the store and the waiting.
#include "head/take_store.hpp"

#include <unistd.h>

#include <string>
#include <utility>

#include "core/held_signals.hpp"
#include "core/limits.hpp"
#include "core/log.hpp"
#include "core/paths.hpp"
#include "head/candidate_machine.hpp"
#include "head/unserved_pools.hpp"
#include "net/session.hpp"
#include "net/tls_stream.hpp"
#include "store/choose.hpp"

namespace dc::head {

store::StoreOptions wanted_store(const HeadOptions& options) {
  store::StoreOptions wanted;
  wanted.url = options.store;
  if (wanted.url.empty()) {
    store::Choice choice = store::choose_store({.redis_dir = paths::redis_dir(seed_redis_port),
                                                .head_redis_dir = paths::head_redis_dir(options.port),
                                                .password = options.secret.password,
                                                .head_port = options.port});
    for (const std::string& note : choice.notes) log::info("{}", note);
    for (const std::string& note : unserved_pools(choice.url, options.port)) log::warning("{}", note);
    wanted.url = std::move(choice.url);
    wanted.password = std::move(choice.password);
    wanted.of_same_user = choice.of_same_user;
  }
  wanted.default_path = paths::head_store(options.port);
  wanted.durability = options.durability;
  wanted.content_hash = net::content_hash;
  wanted.dial_tls = net::dial_tls_stream;
  return wanted;
}

Result<TakenStore> take_store(const store::StoreOptions& wanted, bool standby) {
  BOOST_OUTCOME_TRY(store, store::open_store(wanted));
  TakenStore taken;
  if (!store) return taken;
  const store::Owner owner{net::host_name(), static_cast<std::uint32_t>(::getpid())};
  CandidateMachine candidate(standby);
  while (true) {
    const auto term = store->acquire(owner);
    if (term) {
      candidate.taken(store->description());
    } else if (candidate.refused(term.error(), store->may_be_gone()) == CandidateMachine::Next::give_up) {
      return term.error();
    }
    if (const std::string note = candidate.take_note(); !note.empty()) log::info("{}", note);
    if (term) {
      taken.term = store->leased() ? term.value() : 0;
      taken.store = std::move(store);
      return taken;
    }
    if (take_held_signal(limits::standby_look_interval)) {
      taken.stopped = true;
      return taken;
    }
  }
}

Result<TakenStore> take_store(const HeadOptions& options) {
  const SignalsHeld signals;
  return take_store(wanted_store(options), options.standby);
}

}  // namespace dc::head
