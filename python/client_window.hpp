// client::Window for iterators.py. Outcomes are the tuples that Stream.take() returns; one call for each batch.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <vector>

#include "client/window.hpp"

namespace dc::python {

namespace nb = nanobind;
using JobsWindow = client::Window<nb::object>;

inline std::size_t length(nb::handle object) {
  const Py_ssize_t length = PyObject_Size(object.ptr());
  if (length < 0) throw nb::python_error();
  return static_cast<std::size_t>(length);
}

inline double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }

inline void take_in(JobsWindow& jobs, const nb::list& outcomes) {
  for (nb::handle one : outcomes) {
    const auto outcome = nb::borrow<nb::tuple>(one);
    const nb::handle error = outcome[2];
    std::size_t bytes = length(outcome[1]);
    if (!error.is_none()) bytes += length(error[1]) + length(error[2]);
    jobs.arrived(nb::cast<JobSequence>(outcome[0]), bytes, nb::object(outcome));
  }
}

/// Those whose turn it is, up to where items are to be read again. To be called when the consumer has had all of them.
inline nb::list next_ones(JobsWindow& jobs) {
  nb::list some;
  while (const auto outcome = jobs.next()) {
    some.append(*outcome);
    if (jobs.due()) break;
  }
  return some;
}

/// room() is (jobs, jobs however large they are, bytes, bytes of each result to come).
inline void define_window(nb::module_& module) {
  nb::class_<JobsWindow> window(module, "Window");
  window
      .def(
          "__init__",
          [](JobsWindow* self, bool ordered, bool bounded, bool named, std::size_t jobs_max, std::size_t workers) {
            const ReadAhead options{.ordered = ordered, .bounded = bounded, .jobs_max = jobs_max};
            new (self) JobsWindow(client::read_ahead_of(options, named), workers);
          },
          nb::kw_only(), nb::arg("ordered"), nb::arg("bounded"), nb::arg("named"), nb::arg("jobs_max"),
          nb::arg("workers"))
      .def("due", &JobsWindow::due)
      .def("slow", &JobsWindow::slow)
      .def("empty", &JobsWindow::empty)
      .def("end_items", &JobsWindow::end_items)
      .def("room",
           [](const JobsWindow& jobs) {
             const auto room = jobs.room();
             return nb::make_tuple(room.jobs, room.jobs_always, room.bytes, room.to_come);
           })
      .def("submitted", [](JobsWindow& jobs, JobSequence first, const std::vector<std::size_t>& sizes,
                           bool slow) { jobs.submitted(first, sizes, slow); })
      .def("arrived", &take_in)
      .def("next", &next_ones)
      .def("begin_wait", [](JobsWindow& jobs) { return seconds(jobs.begin_wait()); })
      .def("end_wait", [](JobsWindow& jobs, bool came, double waited, std::size_t workers) {
        jobs.end_wait(came, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(waited)), workers);
      });
  window.attr("BATCH_SECONDS") = seconds(JobsWindow::batch_time);
}

}  // namespace dc::python
