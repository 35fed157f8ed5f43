// See output_calls.hpp.
#include "client/output_calls.hpp"

#include <fmt/format.h>

#include <charconv>
#include <exception>
#include <string_view>
#include <thread>
#include <utility>

#include "core/signals_blocked.hpp"

namespace dc::client {

std::shared_ptr<OutputCalls> OutputCalls::start(Function function) {
  std::shared_ptr<OutputCalls> calls(new OutputCalls(std::move(function)));
  const SignalsBlocked blocked;
  std::thread([calls] { calls->run(); }).detach();
  return calls;
}

/// The source of a batch is where its lines come from: "0 3 host".
void OutputCalls::push(const wire::OutputLines& printed) {
  std::string text;
  for (const std::string& line : printed.lines) text.append(line).push_back('\n');
  queue_.push_expendable(std::move(text), printed.lines.size(),
                         fmt::format("{} {} {}", static_cast<int>(printed.stream), printed.slot, printed.host));
}

void OutputCalls::finish() {
  static_cast<void>(queue_.drained());  // a function that hangs is left behind
  queue_.end();
}

void OutputCalls::run() {
  while (true) {
    const OutputQueue::Batch batch = queue_.take(std::chrono::hours(1));
    if (batch.text.empty() && queue_.ended()) return;
    if (batch.text.empty()) continue;
    const std::string_view source = batch.source;
    OutputLine line;
    line.on_stderr = source[0] == '1';
    const std::size_t space = source.find(' ', 2);
    std::from_chars(source.data() + 2, source.data() + space, line.slot);
    line.host = source.substr(space + 1);
    std::string_view rest = batch.text;
    while (!rest.empty()) {
      const std::size_t end = rest.find('\n');
      line.text = rest.substr(0, end);
      rest.remove_prefix(end + 1);
      call(line);
      queue_.progressed();
    }
  }
}

void OutputCalls::call(const OutputLine& line) {
  std::string what = "something that is no std::exception";
  try {
    return function_(line);
  } catch (const std::exception& error) {
    what = error.what() ? error.what() : "";
  } catch (...) {
  }
  if (std::exchange(failed_, true)) return;
  output::to_stderr(fmt::format("distributed-computing: on_output threw for a line of {} slot {}: {} (told once)\n",
                                line.host, line.slot, what));
}

}  // namespace dc::client
