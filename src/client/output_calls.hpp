// Lines of workers on their way to a function of the user's, which may be slow, hang or throw: nobody waits for it.
#pragma once

#include <functional>
#include <memory>

#include "core/output.hpp"
#include "distributed_computing/settings.hpp"
#include "wire/messages.hpp"

namespace dc::client {

class OutputCalls {
 public:
  using Function = std::function<void(const OutputLine&)>;
  /// Starts the thread. It goes after finish(), or is left behind in a function that hangs: so it shares the object.
  static std::shared_ptr<OutputCalls> start(Function function);

  /// From any thread; never waits. What the function does not take in time is dropped and counted.
  void push(const wire::OutputLines& printed);
  /// Waits, for a bounded time, until the function has had all lines.
  void finish();

 private:
  explicit OutputCalls(Function function) : function_(std::move(function)) {}
  void run();
  void call(const OutputLine& line);

  const Function function_;
  OutputQueue queue_;
  bool failed_ = false;  ///< the thread's: the function has thrown
};

}  // namespace dc::client
