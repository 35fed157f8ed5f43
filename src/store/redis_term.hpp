// What stands in the keys `term` and `lease` of a Redis.
//
// A term is one number: a counter, and below it bits of chance. A server that fell back by its last writes may give the
// same counter twice; the chance makes two terms of it all the same, so that a head never takes another's for its own.
#pragma once

#include <cstdint>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "core/limits.hpp"
#include "store/store.hpp"

namespace dc::store {

inline constexpr unsigned term_chance_bits = 20;
/// The last counter; none follows it.
inline constexpr std::uint64_t term_counter_max = (std::uint64_t{1} << (63 - term_chance_bits)) - 1;
static_assert(limits::claimed_term_max >> term_chance_bits <= term_counter_max / 2 + 1, "takeovers must remain");
/// Format 1 had terms without chance, and leases that ran out by the server's clock.
inline constexpr std::string_view format_without_chance = "1";
/// So did format 2 have logs in streams: see redis_store.hpp.
inline constexpr std::string_view format_with_streams = "2";
inline constexpr std::string_view format_version = "3";

/// `counter` is at most term_counter_max.
constexpr std::uint64_t make_term(std::uint64_t counter, std::uint64_t chance) {
  return (counter << term_chance_bits) | (chance & ((std::uint64_t{1} << term_chance_bits) - 1));
}
constexpr std::uint64_t counter_of(std::uint64_t term) { return term >> term_chance_bits; }

/// Of what stands in `term`, as the format says; none: it is no term, or the last.
std::optional<std::uint64_t> stored_counter(std::string_view term, std::string_view format);

/// The value of `lease`: "term pid host machine beat connection", and "pausing" while its holder says nothing yet.
/// Empty: given up. The holder counts the beats, so that others see that it lives.
struct Lease {
  std::string term;  ///< that its holder took
  Owner owner;
  std::string machine;  ///< kernel and namespace in which the process id means something
  std::uint64_t beat = 0;
  std::string connection;  ///< the server's number of the holder's connection; empty: not known
  bool pausing = false;

  [[nodiscard]] std::string text() const;
  /// Also that of format 1, which has neither beat nor connection.
  static Lease parse(std::string_view text);
};

/// What the kernel and the namespace of process ids are.
std::string this_machine();

/// The terms of this head: that which it took, and those to which it raised it. Its two connections share them.
class OwnTerms {
 public:
  void begin(std::uint64_t term) {
    const std::lock_guard lock(mutex_);
    terms_ = {std::to_string(term)};
  }
  /// Before it is asked for, since another connection may see it first.
  void add(std::uint64_t term) {
    const std::lock_guard lock(mutex_);
    terms_.push_back(std::to_string(term));
  }
  [[nodiscard]] bool contains(std::string_view term) const {
    const std::lock_guard lock(mutex_);
    for (const std::string& own : terms_) {
      if (own == term) return true;
    }
    return false;
  }

 private:
  mutable std::mutex mutex_;
  std::vector<std::string> terms_;
};

}  // namespace dc::store
