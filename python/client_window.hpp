// client::Window for iterators.py. Outcomes are the tuples that Stream.take() returns; one call for each batch.
#pragma once

#include <nanobind/nanobind.h>
#include <nanobind/stl/vector.h>

#include <vector>

#include "client/window.hpp"

namespace dc::python {

namespace nb = nanobind;

class PyWindow {
 public:
  using Jobs = client::Window<nb::object>;
  PyWindow(bool ordered, bool bounded, std::size_t jobs_max, std::size_t workers)
      : jobs_({.ordered = ordered, .bounded = bounded, .jobs_max = jobs_max}, workers) {}

  [[nodiscard]] bool due() const { return jobs_.due(); }
  [[nodiscard]] bool slow() const { return jobs_.slow(); }
  [[nodiscard]] bool empty() const { return jobs_.empty(); }
  void end_items() { jobs_.end_items(); }
  /// (jobs, jobs however large they are, bytes, bytes of each result to come)
  [[nodiscard]] nb::tuple room() const {
    const auto room = jobs_.room();
    return nb::make_tuple(room.jobs, room.jobs_always, room.bytes, room.to_come);
  }
  void submitted(JobSequence first, const std::vector<std::size_t>& sizes, bool slow) {
    jobs_.submitted(first, sizes, slow);
  }

  void arrived(const nb::list& outcomes) {
    for (nb::handle one : outcomes) {
      const auto outcome = nb::borrow<nb::tuple>(one);
      const nb::handle error = outcome[2];
      std::size_t bytes = length(outcome[1]);
      if (!error.is_none()) bytes += length(error[1]) + length(error[2]);
      jobs_.arrived(nb::cast<JobSequence>(outcome[0]), bytes, nb::object(outcome));
    }
  }
  /// Those whose turn it is, up to where items are to be read again. To be called when the consumer has had all of
  /// them.
  nb::list next() {
    nb::list some;
    while (auto outcome = jobs_.next()) {
      some.append(*outcome);
      if (jobs_.due()) break;
    }
    return some;
  }

  double begin_wait() { return seconds(jobs_.begin_wait()); }
  void end_wait(bool came, double waited, std::size_t workers) {
    jobs_.end_wait(came, std::chrono::duration_cast<Duration>(std::chrono::duration<double>(waited)), workers);
  }

  static void define(nb::module_& module) {
    nb::class_<PyWindow>(module, "Window")
        .def(nb::init<bool, bool, std::size_t, std::size_t>(), nb::kw_only(), nb::arg("ordered"), nb::arg("bounded"),
             nb::arg("jobs_max"), nb::arg("workers"))
        .def("due", &PyWindow::due)
        .def("slow", &PyWindow::slow)
        .def("empty", &PyWindow::empty)
        .def("end_items", &PyWindow::end_items)
        .def("room", &PyWindow::room)
        .def("submitted", &PyWindow::submitted)
        .def("arrived", &PyWindow::arrived)
        .def("next", &PyWindow::next)
        .def("begin_wait", &PyWindow::begin_wait)
        .def("end_wait", &PyWindow::end_wait)
        .attr("BATCH_SECONDS") = seconds(Jobs::batch_time);
  }

 private:
  static std::size_t length(nb::handle object) {
    const Py_ssize_t length = PyObject_Size(object.ptr());
    if (length < 0) throw nb::python_error();
    return static_cast<std::size_t>(length);
  }
  static double seconds(Duration duration) { return std::chrono::duration<double>(duration).count(); }
  Jobs jobs_;
};

}  // namespace dc::python
