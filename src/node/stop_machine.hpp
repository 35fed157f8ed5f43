// How a node that is told to end does it: decisions only. Batch systems and service managers send several signals at
// once: those are one. Ctrl-C among them still says that jobs are not to be waited for. SIGHUP waits a moment: the
// kernel hands it over before a SIGTERM that was sent first. A node whose head has ended in order may leave too.
#pragma once

#include <optional>

#include "core/clock.hpp"

namespace dc::node {

class StopMachine {
 public:
  enum class Step {
    nothing,
    leave_in_order,   ///< running jobs have their time
    leave,            ///< running jobs go elsewhere
    leave_with_head,  ///< the same, for no other head has come
    end_at_once,      ///< it was asked a second time
  };
  /// `head_timeout`: how long it waits for another head when its own has ended in order; nothing: for ever.
  explicit StopMachine(std::optional<Duration> head_timeout = {}) : head_timeout_(head_timeout) {}

  Step signalled(int signal, TimePoint now);
  void head_is_here() { head_gone_until_ = never; }
  /// `for_good`: it has said so.
  void head_is_gone(bool for_good, TimePoint now);

  Step look(TimePoint now);
  [[nodiscard]] TimePoint next_deadline() const;
  /// It was told to end.
  [[nodiscard]] bool stopping() const { return stopping_; }

 private:
  std::optional<Duration> head_timeout_;
  bool stopping_ = false;
  std::optional<TimePoint> asked_at_;  ///< by a signal
  TimePoint hang_up_until_ = never;    ///< a SIGHUP waits for a SIGTERM
  TimePoint head_gone_until_ = never;
};

}  // namespace dc::node
