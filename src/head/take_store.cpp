// See take_store.hpp.
#include "head/take_store.hpp"

#include <unistd.h>

#include <string>
#include <utility>

#include "core/held_signals.hpp"
#include "core/limits.hpp"
#include "core/log.hpp"
#include "core/paths.hpp"
#include "head/unserved_pools.hpp"
#include "net/session.hpp"
#include "net/tls_stream.hpp"
#include "store/choose.hpp"
#include "store/held_by.hpp"

namespace dc::head {
namespace {

/// The signals that end a head wait as long as this lives.
struct SignalsHeld {
  SignalsHeld() { hold_signals(); }
  ~SignalsHeld() { release_signals(); }
  SignalsHeld(const SignalsHeld&) = delete;
  SignalsHeld& operator=(const SignalsHeld&) = delete;
};

/// Why the store cannot be had now, as a standby tells it: once, and again when the reason changes.
void tell(const std::string& reason, bool standby, std::string& told) {
  if (reason == told) return;
  log::info("{}{}. Waiting{}", standby ? "standby: " : "", reason.substr(0, reason.find(store::held_by_advice)),
            standby ? "" : " to see whether that one lives");
  told = reason;
}

}  // namespace

Result<TakenStore> take_store(const HeadOptions& options) {
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
  BOOST_OUTCOME_TRY(store, store::open_store(wanted));
  TakenStore taken;
  if (!store) return taken;
  const store::Owner owner{net::host_name(), static_cast<std::uint32_t>(::getpid())};
  const SignalsHeld signals;
  std::string told;
  while (true) {
    const auto term = store->acquire(owner);
    if (term) {
      if (!told.empty()) {
        log::info("{}the store {} is free, this head takes over", options.standby ? "standby: " : "",
                  store->description());
      }
      taken.term = store->leased() ? term.value() : 0;
      taken.store = std::move(store);
      return taken;
    }
    const ErrorCode why = term.error().code;
    // A server without room on its disk takes no new holder either, and has room again some day; one that only reads,
    // or throws keys away, is at fault for a moment where servers change their parts. Both are such errors.
    const bool passes = why == ErrorCode::fenced || why == ErrorCode::unreachable || why == ErrorCode::full;
    // Whoever does not stand by waits only to see whether the holder lives.
    const bool unseen = why == ErrorCode::fenced && store->may_be_gone();
    if (!unseen && (!options.standby || !passes)) return term.error();
    tell(term.error().message, options.standby, told);
    if (take_held_signal(limits::standby_look_interval)) {
      taken.stopped = true;
      return taken;
    }
  }
}

}  // namespace dc::head
