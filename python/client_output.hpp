// What clients have to show, on its way to the threads that show it (distributed_computing/_output.py): a client's loop
// waits neither for the interpreter's lock nor for whoever reads sys.stdout and sys.stderr.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>

#include <array>
#include <atomic>
#include <functional>
#include <string>

#include "client_waiting.hpp"
#include "core/output.hpp"
#include "wire/messages.hpp"

namespace dc::python::shown {

/// Each has a thread of its own, so that one reader who does not read does not silence the other.
enum Queue : int { out = 0, err = 1, calls = 2 };

/// Never destroyed, for the threads may outlive the module.
inline std::array<OutputQueue*, 3>& queues() {
  static std::array<OutputQueue*, 3> all{new OutputQueue, new OutputQueue, new OutputQueue};
  return all;
}
/// stdout and stderr are one file: then one thread keeps the order.
inline std::atomic<bool>& together() {
  static std::atomic<bool> flag = false;
  return flag;
}

/// For stderr.
inline void say(std::string text) { queues()[err]->push(std::move(text), 1, "err"); }

/// What happens to the lines of workers. `target`: 0: nothing; 1: they are shown; else the number of a function.
inline std::function<void(const wire::OutputLines&)> handler(std::uint64_t target) {
  if (target == 0) return {};
  if (target > 1) {
    return [target](const wire::OutputLines& printed) {
      std::string text;
      for (const std::string& line : printed.lines) text.append(line).push_back('\n');
      const char* stream = printed.stream == OutputStream::out ? "stdout" : "stderr";
      std::string source =
          std::to_string(target) + " " + stream + " " + std::to_string(printed.slot) + " " + printed.host;
      queues()[calls]->push_expendable(std::move(text), printed.lines.size(), std::move(source));
    };
  }
  return [](const wire::OutputLines& printed) {
    const std::string prefix = "[" + printed.host + "/" + std::to_string(printed.slot) + "] ";
    std::string text;
    for (const std::string& line : printed.lines) text.append(prefix).append(line).push_back('\n');
    const bool to_out = printed.stream == OutputStream::out;
    queues()[to_out && !together() ? out : err]->push_expendable(std::move(text), printed.lines.size(),
                                                                 to_out ? "out" : "err");
  };
}

inline bool pending() { return queues()[out]->pending() || queues()[err]->pending(); }

/// What came before the results that a thread has just taken is to be seen before them.
inline void settle() {
  const Unlocked unlocked;
  for (const Queue queue : {out, err}) queues()[queue]->settle();
}

/// (source, the next lines), or None after the end.
inline nanobind::object take(int queue) {
  OutputQueue& from = *queues()[static_cast<std::size_t>(queue)];
  OutputQueue::Batch batch;
  {
    const Unlocked unlocked;
    while (batch.text.empty() && !from.ended()) batch = from.take(std::chrono::hours(1));
  }
  if (batch.text.empty()) return nanobind::none();
  return nanobind::make_tuple(text(batch.source), text(batch.text));
}

inline bool drained(int queue) {
  const nanobind::gil_scoped_release unlocked;
  return queues()[static_cast<std::size_t>(queue)]->drained();
}

inline void define(nanobind::module_& module) {
  namespace nb = nanobind;
  module.def("show", [](const std::string& lines) { say(lines); });
  module.def("show_together", [](bool flag) { together() = flag; });
  module.def("take_shown", &take, nb::arg("queue"));
  module.def("shown_drained", &drained, nb::arg("queue"));
  module.def("shown_progressed", [](int queue) { queues()[static_cast<std::size_t>(queue)]->progressed(); });
  module.def("end_shown", [](int queue) { queues()[static_cast<std::size_t>(queue)]->end(); });
  module.def("new_shown", [] {  // in a forked child: what is queued is the parent's
    for (OutputQueue*& queue : queues()) queue = new OutputQueue;
  });
}

}  // namespace dc::python::shown
