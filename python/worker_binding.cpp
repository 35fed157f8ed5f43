// The extension module _worker: the worker runtime with a Python object at its end. Links neither Boost nor TLS.
#include <fcntl.h>
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <unistd.h>

#include <array>
#include <optional>
#include <string>

#include "core/fd.hpp"
#include "core/limits.hpp"
#include "error_kinds.hpp"
#include "payload.hpp"
#include "wire/claims.hpp"
#include "wire/memory_file.hpp"
#include "worker/output_stream.hpp"
#include "worker/record.hpp"
#include "worker/runtime.hpp"

namespace nb = nanobind;

namespace {

using dc::ErrorInfo;
using dc::ErrorKind;
using dc::Outcome;
using dc::Payload;
using namespace dc::python;

/// Assembles what _payload.dumps() returned: bytes, or a list of parts, with one copy (large ones into a memory file).
Payload payload_of(nb::handle value) {
  if (PyBytes_Check(value.ptr())) {
    const auto bytes = bytes_of(value);
    if (bytes.size() <= dc::limits::inline_payload_max) return Payload::copy(bytes);
    const dc::wire::Assembly target = dc::wire::make_assembly(bytes.size());
    dc::wire::write(target, 0, bytes);
    return target.payload;
  }
  const Parts parts(value);
  const dc::wire::Assembly target = dc::wire::make_assembly(parts.size());
  parts.write_with([&](std::size_t offset, auto bytes) { dc::wire::write(target, offset, bytes); });
  return target.payload;
}

/// Any text of Python as UTF-8: what has no place there (file names of other bytes) looks as Python prints it.
std::string text_of(nb::handle value) {
  PyObject* bytes = PyUnicode_AsEncodedString(value.ptr(), "utf-8", "backslashreplace");
  if (!bytes) {
    PyErr_Clear();
    return "(a text that cannot be encoded)";
  }
  const nb::object owner = nb::steal(bytes);
  return {PyBytes_AS_STRING(bytes), static_cast<std::size_t>(PyBytes_GET_SIZE(bytes))};
}

/// What the exception says, which may itself raise.
std::string text_of(const nb::python_error& error) {
  PyObject* text = PyObject_Str(error.value().ptr());
  if (!text) {
    PyErr_Clear();
    return "an exception whose text cannot be shown";
  }
  return text_of(nb::steal(text));
}

/// What is below sys.stdout and sys.stderr. A write keeps the interpreter's lock: the text stream above does not expect
/// that another thread, or a handler of a signal, comes in between.
class PyOutputStream {
 public:
  /// `on_storm` is called in the main thread, soon after the beginning of one. Lives on.
  PyOutputStream(int fd, bool unbuffered, nb::object on_storm)
      : stream_(new dc::worker::OutputStream(fd, unbuffered)), on_storm_(on_storm.release().ptr()) {}
  std::size_t write(nb::handle data) {
    const View view(data);
    const auto bytes = view.bytes();
    const bool storm = stream_->add({reinterpret_cast<const char*>(bytes.data()), bytes.size()});
    if (storm) Py_AddPendingCall(call_on_storm, on_storm_);
    return bytes.size();
  }
  void flush() {
    if (!stream_->pending()) return;
    const nb::gil_scoped_release unlocked;
    stream_->write_out();
  }
  [[nodiscard]] bool in_storm() { return stream_->in_storm(); }
  void swallow(bool on) { stream_->swallow(on); }
  int settle() {
    flush();
    const auto found = stream_->take_found();
    return (found.printed ? 1 : 0) | (found.printed && found.open_line ? 2 : 0);
  }

 private:
  static int call_on_storm(void* function) {
    PyObject* result = PyObject_CallNoArgs(static_cast<PyObject*>(function));
    if (!result) PyErr_Clear();
    Py_XDECREF(result);
    return 0;
  }
  dc::worker::OutputStream* stream_;
  PyObject* on_storm_;
};

/// The Python object `Runner` of worker_main.py behind the runtime's interface.
class PythonRunner final : public dc::worker::JobRunner {
 public:
  PythonRunner(nb::object runner, std::string host, std::uint32_t slot)
      : run_(runner.attr("run_job")),
        update_(runner.attr("update")),
        raised_(runner.attr("raised_between_jobs")),
        close_(runner.attr("close")),
        flush_output_(runner.attr("flush_output")),
        host_(std::move(host)),
        slot_(slot) {}
  ~PythonRunner() override {
    const nb::gil_scoped_acquire locked;
    for (nb::object* method : {&run_, &update_, &raised_, &close_, &flush_output_}) method->reset();
  }

  Outcome run(Payload arguments) override { return call(run_, arguments); }
  Outcome update(Payload payload) override { return call(update_, payload); }
  [[nodiscard]] int signal_fd() const override { return wakeup_[0].get(); }
  std::optional<int> signalled() override {
    std::array<char, 256> numbers{};
    while (::read(wakeup_[0].get(), numbers.data(), numbers.size()) > 0) {
    }
    const nb::gil_scoped_acquire locked;
    return run_handlers();
  }
  void close(bool terminated) override {
    const nb::gil_scoped_acquire locked;
    if (run_handlers()) terminated = true;  // of a signal that came just now: it asks for this very end
    try {
      close_(terminated);
    } catch (nb::python_error& error) {  // a signal that came just now
      error.restore();
      PyErr_Print();
    }
  }
  Flushed flush_output() override {
    const nb::gil_scoped_acquire locked;
    try {
      const int found = nb::cast<int>(flush_output_());
      return {(found & 1) != 0, (found & 2) != 0};
    } catch (const nb::python_error&) {
      return {};
    }
  }

 private:
  /// Of the signals that have come. A result: one wants the worker to end, with this exit code.
  std::optional<int> run_handlers() const {
    if (PyErr_CheckSignals() == 0) return std::nullopt;
    try {
      nb::object code = raised_(nb::python_error().value());
      return code.is_none() ? std::nullopt : std::optional(nb::cast<int>(code));
    } catch (nb::python_error& second) {
      second.restore();
      PyErr_Print();
      return std::nullopt;
    }
  }
  Outcome call(const nb::object& method, const Payload& argument) const {
    const nb::gil_scoped_acquire locked;
    // Of a signal that came after the job before: it is not this one's.
    if (const auto code = run_handlers())
      return {{},
              error_of(ErrorKind::job_error,
                       "SystemExit: a signal's handler called sys.exit(" + std::to_string(*code) + ")")};
    try {
      nb::object result = method(object_of(argument));
      nb::object error = result[1];
      Outcome outcome;
      outcome.payload = payload_of(nb::object(result[0]));
      if (!error.is_none()) {
        ErrorInfo info = error_of(static_cast<ErrorKind>(nb::cast<int>(error[0])), text_of(nb::object(error[1])));
        info.traceback = text_of(nb::object(error[2]));
        info.type_name = text_of(nb::object(error[3]));
        outcome.error = std::move(info);
      }
      return outcome;
    } catch (const nb::python_error& error) {
      // Such as KeyboardInterrupt, between two lines of worker_main: it has no text.
      const std::string type = nb::cast<std::string>(error.type().attr("__name__"));
      return {{}, error_of(ErrorKind::job_error, type + ": " + text_of(error))};
    } catch (const std::exception& error) {
      return {{}, error_of(ErrorKind::serialization, error.what())};
    }
  }
  ErrorInfo error_of(ErrorKind kind, std::string message) const {
    return ErrorInfo::of(kind, std::move(message), host_, slot_);
  }
  /// Python writes the number of every signal that has a handler to the second one. (A class that has
  /// set_wakeup_fd() for itself keeps it, and hears of a signal that came just before the wait with the next packet.)
  static std::array<dc::Fd, 2> make_wakeup() {
    std::array<int, 2> ends{-1, -1};
    if (::pipe2(ends.data(), O_CLOEXEC | O_NONBLOCK) != 0) return {};
    const nb::object set = nb::module_::import_("signal").attr("set_wakeup_fd");
    const int users = nb::cast<int>(set(ends[1], nb::arg("warn_on_full_buffer") = false));
    if (users >= 0) set(users);
    return {dc::Fd(ends[0]), dc::Fd(ends[1])};
  }

  nb::object run_, update_, raised_, close_, flush_output_;
  const std::array<dc::Fd, 2> wakeup_ = make_wakeup();
  std::string host_;
  std::uint32_t slot_;
};

/// worker_main.build() raises _worker.ConstructionError(message, traceback="", type_name=""). Never destroyed: a native
/// library that calls exit() has its destructors run in a thread that may not touch Python.
PyObject* construction_error = nullptr;

int run(const nb::object& build) {
  const auto construct = [&build](const dc::wire::Begin& begin) -> std::unique_ptr<dc::worker::JobRunner> {
    const nb::gil_scoped_acquire locked;
    ErrorInfo info = ErrorInfo::of(ErrorKind::worker_init_error, {}, begin.host, begin.slot);
    try {
      nb::object runner = build(object_of(begin.spec), begin.options->label, begin.options->python_version, begin.slot);
      return std::make_unique<PythonRunner>(std::move(runner), begin.host, begin.slot);
    } catch (nb::python_error& error) {
      info.message = text_of(error);
      if (error.matches(construction_error)) {
        nb::object args = error.value().attr("args");
        const auto field = [&](std::size_t i) { return i < nb::len(args) ? text_of(nb::object(args[i])) : ""; };
        info.message = field(0);
        info.traceback = field(1);
        info.type_name = field(2);
      }
    }
    throw dc::worker::ConstructionError(std::move(info));
  };
  const nb::gil_scoped_release unlocked;
  return dc::worker::run_worker(construct);
}

/// The fields of _about.WorkerInfo, or None.
nb::object about() {
  const auto info = dc::worker::worker_info();
  if (!info) return nb::none();
  const auto text = [](const std::string& bytes) {
    return nb::steal(PyUnicode_DecodeUTF8(bytes.data(), static_cast<Py_ssize_t>(bytes.size()), "surrogateescape"));
  };
  nb::object number = nb::none(), attempt = nb::none(), key = nb::none();
  if (info->job_number) {
    number = nb::cast(*info->job_number);
    attempt = nb::cast(info->attempt);
    if (!info->key.empty()) key = text(info->key);
  }
  return nb::make_tuple(text(info->host), text(info->node), info->slot, text(info->device), text(info->pool),
                        info->worker_number, number, attempt, key);
}

}  // namespace

NB_MODULE(_worker, module) {
  nb::set_leak_warnings(false);
  module.doc() = "The worker runtime: run(build) serves the node that started this process.";
  define_payloads(module);
  define_error_kinds(module);
  nb::class_<PyOutputStream>(module, "OutputStream", "The pipe behind sys.stdout or sys.stderr of a worker.")
      .def(nb::init<int, bool, nb::object>(), nb::arg("fd"), nb::arg("unbuffered"), nb::arg("on_storm"))
      .def("write", &PyOutputStream::write, nb::arg("data"))
      .def("flush", &PyOutputStream::flush)
      .def("in_storm", &PyOutputStream::in_storm)
      .def("swallow", &PyOutputStream::swallow, nb::arg("on"), "On: what is written is dropped.")
      .def("settle", &PyOutputStream::settle,
           "Flush; return what was written since the last time: 0 nothing, 1 whole lines, 3 the last is not whole.");
  construction_error = PyErr_NewException("distributed_computing._worker.ConstructionError", PyExc_Exception, nullptr);
  module.attr("ConstructionError") = nb::handle(construction_error);
  module.attr("CRASH_FILE") = dc::wire::worker_claims_fd;
  module.def("about", &about, "What distributed_computing.worker() tells; None outside of workers.");
  module.def(
      "run", &run, nb::arg("build"),
      "Serve the node until it says stop; returns the exit code. build(spec, label, python_version, slot) returns an "
      "object with run_job(payload), update(payload), raised_between_jobs(error) and close(terminated), or raises "
      "ConstructionError.");
}
