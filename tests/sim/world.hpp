// The world of one seed: a virtual clock with a queue of events, the only source of chance, and the trace.
#pragma once

#include <fmt/format.h>

#include <cstdint>
#include <functional>
#include <string>
#include <string_view>
#include <type_traits>
#include <vector>

#include "core/clock.hpp"
#include "core/ids.hpp"

namespace dc::sim {

/// A promise was broken. The text says which, and where.
struct Violation {
  std::string text;
};

/// The same seed gives the same numbers on every machine (the standard's distributions do not promise that).
class Chance {
 public:
  explicit Chance(std::uint64_t seed) : state_(seed) {}
  std::uint64_t next();
  /// 0 ... count - 1
  std::uint64_t below(std::uint64_t count) { return next() % count; }
  /// low ... high
  std::uint64_t between(std::uint64_t low, std::uint64_t high) { return low + below(high - low + 1); }
  Duration between(Duration low, Duration high);
  /// Most often near `low`, now and then near `high`: as real delays are.
  Duration skewed(Duration low, Duration high);
  bool percent(std::uint64_t share) { return below(100) < share; }
  /// Random, not zero: an id.
  std::uint64_t id() { return next() | 1; }

 private:
  std::uint64_t state_;
};

class World {
 public:
  using Action = std::function<void()>;

  World(std::uint64_t seed, bool tracing) : chance(seed), tracing_(tracing) {}

  [[nodiscard]] TimePoint now() const { return now_; }
  /// Runs the action then; what is due at the same time runs in the order in which it was put down.
  void at(TimePoint when, Action action);
  void after(Duration delay, Action action) { at(now_ + delay, std::move(action)); }
  /// Runs the next event. False: there is none up to `end`, where the clock stands now.
  bool step(TimePoint end);

  /// One line of the trace. Its numbers go into the hash of the trace even when nobody reads it.
  template <class... Values>
  void note(std::string_view who, fmt::format_string<const Values&...> text, const Values&... values) {
    mix(static_cast<std::uint64_t>(now_.time_since_epoch().count()));
    (mix_value(values), ...);
    if (tracing_) print(who, fmt::format(text, values...));
  }
  [[nodiscard]] bool tracing() const { return tracing_; }
  void print(std::string_view who, const std::string& text) const;
  void mix(std::uint64_t value) { hash_ = (hash_ ^ value) * 0x100000001b3U; }

  [[nodiscard]] std::uint64_t trace_hash() const { return hash_; }
  [[nodiscard]] std::uint64_t events() const { return events_; }

  template <class... Values>
  [[noreturn]] void violation(fmt::format_string<const Values&...> text, const Values&... values) const {
    throw Violation{fmt::format(text, values...)};
  }

  Chance chance;

 private:
  struct Event {
    TimePoint when;
    std::uint64_t number{};
    Action action;
    bool operator<(const Event& other) const {  // for a heap with the earliest on top
      return when != other.when ? when > other.when : number > other.number;
    }
  };
  template <class Value>
  void mix_value(const Value& value) {
    if constexpr (std::is_arithmetic_v<Value>) {
      mix(static_cast<std::uint64_t>(value));
    } else {
      mix(std::hash<std::string_view>{}(std::string_view(value)));
    }
  }

  bool tracing_;
  TimePoint now_{std::chrono::hours(1)};
  std::vector<Event> events_due_;  ///< a heap
  std::uint64_t next_number_ = 1, events_ = 0;
  std::uint64_t hash_ = 0xcbf29ce484222325U;
};

/// Short names for the trace: the end of a random id says enough.
inline std::string short_name(std::uint64_t id) { return fmt::format("{:04x}", id >> 48 ^ (id & 0xffff)); }
inline std::string name_of_worker(WorkerId id) {
  return fmt::format("w{}.{}", (id.value >> 32) & 0xfff, id.value & 0xffffffff);
}

}  // namespace dc::sim
