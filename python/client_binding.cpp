// The Python module _client: PoolClient and its streams for distributed_computing.pool. Payloads are bytes here;
// pickling happens in Python.
//
// No wait holds the interpreter's lock, and every wait wakes every 50 ms to look for signals (Ctrl-C).
#include <nanobind/nanobind.h>
#include <nanobind/stl/string.h>
#include <nanobind/stl/vector.h>

#include <algorithm>
#include <cmath>
#include <memory>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/pool_client.hpp"
#include "client_output.hpp"
#include "client_payload.hpp"
#include "client_waiting.hpp"
#include "client_window.hpp"
#include "core/environment.hpp"
#include "core/output.hpp"
#include "core/text.hpp"
#include "error_kinds.hpp"
#include "net/head_address.hpp"

namespace nb = nanobind;

namespace {

using dc::Duration;
using dc::Payload;
using dc::client::Completed;
using dc::client::FailureKind;
using namespace dc::python;

// --- Streams ----------------------------------------------------------------------------------------------------

nb::object tuple_of(Completed&& completed) {
  nb::object error = nb::none();
  if (const auto& info = completed.outcome.error) {
    error = nb::make_tuple(static_cast<int>(info->kind), text(info->message), text(info->traceback),
                           text(info->type_name), text(info->host), info->slot, info->exit_status, info->signal);
  }
  return nb::make_tuple(completed.sequence, object_of(completed.outcome.payload), error);
}

class PyStream {
 public:
  explicit PyStream(std::unique_ptr<dc::client::Stream> stream) : stream_(std::move(stream)) {}
  PyStream(PyStream&&) = default;
  ~PyStream() {
    const Unlocked unlocked;  // it may hold the last reference to its pool
    stream_.reset();
  }

  dc::JobSequence submit(nb::handle item, std::string key) {
    return value_or_raise(stream_->submit(payload_of(item), std::move(key)));
  }

  dc::JobSequence submit_many(nb::list items, std::vector<std::string> keys) {
    std::vector<Payload> payloads;
    payloads.reserve(items.size());
    for (nb::handle item : items) payloads.push_back(payload_of(item));
    return value_or_raise(stream_->submit(std::move(payloads), std::move(keys)));
  }

  /// `patience`: a dc::client::Patience.
  nb::list take(double timeout, std::size_t max, int patience) {
    const auto patient = static_cast<dc::client::Patience>(std::clamp(patience, 0, 3));
    auto completed = wait_in_slices(
        timeout, [&](Duration slice) { return stream_->take(max, slice, patient); },
        [](const std::vector<Completed>& some) { return !some.empty(); });
    if (!completed.empty() && shown::pending()) shown::settle();
    nb::list result;
    for (Completed& one : completed) result.append(tuple_of(std::move(one)));
    return result;
  }

  void hand_over(const std::vector<dc::JobSequence>& sequences) { stream_->hand_over(sequences); }

  [[nodiscard]] std::size_t in_flight() const { return stream_->in_flight(); }
  void close() { stream_->close(); }

 private:
  std::unique_ptr<dc::client::Stream> stream_;
};

// --- The pool ---------------------------------------------------------------------------------------------------

/// The name of a class may hold any characters.
std::string label_of(nb::handle name) {
  const auto encoded = nb::cast<nb::bytes>(name.attr("encode")("utf-8", "backslashreplace"));
  return dc::shortened({encoded.c_str(), encoded.size()}, dc::limits::label_bytes_max);
}

std::vector<std::string> environment_of(const nb::list& variables) {
  std::vector<std::string> environment;
  for (nb::handle one : variables) {
    const auto variable = nb::cast<nb::bytes>(one);
    environment.emplace_back(variable.c_str(), variable.size());
  }
  if (const std::string problem = dc::problem_of_environment(environment); !problem.empty())
    throw nb::value_error(problem.c_str());
  return environment;
}

/// Fields bear their C++ names; durations are whole milliseconds.
void define_options(nb::module_& module) {
  using Options = dc::PoolOptions;
  nb::enum_<dc::DeviceWish>(module, "DeviceWish")
      .value("any", dc::DeviceWish::any)
      .value("gpu", dc::DeviceWish::gpu)
      .value("cpu", dc::DeviceWish::cpu);
  nb::enum_<dc::ForwardOutput>(module, "ForwardOutput")
      .value("none", dc::ForwardOutput::none)
      .value("all", dc::ForwardOutput::all)
      .value("errors", dc::ForwardOutput::errors);
  nb::class_<Options> options(module, "PoolOptions");
  options.def(nb::init<>())
      .def_prop_rw(
          "label", [](const Options& one) { return text(one.label); },
          [](Options& one, nb::handle name) { one.label = label_of(name); })
      .def("set_environment",
           [](Options& one, const nb::list& variables) { one.environment = environment_of(variables); })
      .def_rw("python_version", &Options::python_version)
      .def_rw("weight", &Options::weight)
      .def_rw("max_retries", &Options::max_retries)
      .def_rw("keep_updates_history", &Options::keep_updates_history)
      .def_rw("retry_exceptions", &Options::retry_exceptions)
      .def_rw("forward_output", &Options::forward_output)
      .def_rw("min_workers", &Options::min_workers)
      .def_rw("min_gpu_memory_mib", &Options::min_gpu_memory_mib)
      .def_rw("device", &Options::device)
      .def_rw("gpus_per_worker", &Options::gpus_per_worker)
      .def_rw("threads_per_worker", &Options::threads_per_worker);
  const auto duration = [&options](const char* name, std::chrono::milliseconds Options::*field) {
    options.def_prop_rw(
        name, [field](const Options& one) { return (one.*field).count(); },
        [field](Options& one, std::int64_t count) { one.*field = std::chrono::milliseconds(count); });
  };
  duration("job_timeout", &Options::job_timeout);
  duration("init_timeout", &Options::init_timeout);
  duration("update_timeout", &Options::update_timeout);
}

/// Every client that is alive, for the end of the interpreter. Guarded by the interpreter's lock.
std::set<std::weak_ptr<dc::client::PoolClient>, std::owner_less<>>& clients() {
  static std::set<std::weak_ptr<dc::client::PoolClient>, std::owner_less<>> all;
  return all;
}

/// What `ask` returns, which may wait, as a value or an exception.
template <class Ask>
auto result_or_raise(Ask ask) {
  auto result = [&] {
    const Unlocked unlocked;
    return ask();
  }();
  if (result) return std::move(result.value());
  const bool rejected = result.error().code == dc::ErrorCode::rejected;
  raise({rejected ? FailureKind::authentication : FailureKind::unreachable, result.error().message, {}});
}

class PyClient {
 public:
  PyClient(const std::string& address, std::uint16_t port, nb::bytes password, const dc::PoolOptions& options,
           nb::handle spec, double connect_timeout, const std::string& fingerprint, std::uint64_t show_output,
           const std::string& name, bool attach_only, bool steal) {
    if (const auto heads = dc::net::head_addresses(address, port); !heads)
      throw nb::value_error(heads.error().message.c_str());
    dc::client::ClientOptions given;
    given.address = address;
    given.port = port;
    given.password.assign(password.c_str(), password.size());
    given.fingerprint = fingerprint;
    given.name = name;
    given.attach_only = attach_only;
    given.steal = steal;
    given.pool = options;
    given.spec = payload_of(spec);
    given.connect_timeout = duration_of(connect_timeout);
    given.on_notice = [](const std::string& notice) { shown::say("distributed-computing: " + notice + "\n"); };
    given.on_output = shown::handler(show_output);
    client_ = dc::client::PoolClient::start(std::move(given));
    std::erase_if(clients(), [](const auto& one) { return one.expired(); });
    clients().insert(client_);
  }
  ~PyClient() {
    const Unlocked unlocked;  // closing waits for the background thread
    client_.reset();
  }
  PyClient(const PyClient&) = delete;
  PyClient& operator=(const PyClient&) = delete;

  bool wait_open(double timeout) {
    return wait_in_slices(
        timeout, [&](Duration slice) { return client_->wait_open(slice); }, is_true);
  }
  /// (label of the class, outcomes of earlier clients' jobs that nobody has, whether another client has made the pool,
  /// whether it keeps updates for later workers)
  [[nodiscard]] nb::tuple opened() const {
    const auto opened = client_->opened();
    return nb::make_tuple(text(opened.label), opened.remaining, opened.existed, opened.keeps_history);
  }
  PyStream open_stream() { return PyStream(value_or_raise(client_->open_stream())); }
  /// None when that stream is open: it goes on in this order.
  nb::object read_earlier(bool in_order) {
    auto stream = value_or_raise(client_->read_earlier(in_order));
    return stream ? nb::cast(PyStream(std::move(stream))) : nb::none();
  }

  dc::UpdateNumber update(nb::handle parts) {
    const auto number = value_or_raise(client_->send_update(payload_of(parts)));
    wait_in_slices(
        HUGE_VAL, [&](Duration slice) { return client_->wait_accepted(number, slice); }, is_true);
    return number;
  }
  /// Definitions for the workers, before all jobs that are submitted later; does not wait.
  void define(nb::handle parts) { value_or_raise(client_->send_update(payload_of_parts(parts, dc::definitions_mark))); }
  /// (the first bytes of a named pool's spec, [definitions that came later])
  nb::tuple definitions(std::uint64_t spec_bytes) {
    auto all = result_or_raise([&] { return client_->definitions(spec_bytes); });
    nb::list later;
    for (Payload& one : all.second) later.append(object_of(one));
    return nb::make_tuple(object_of(all.first), later);
  }
  /// None at the timeout, an empty tuple, or (0, payload of the exception, error) of what was raised first.
  nb::object wait_applied(dc::UpdateNumber number, double timeout) {
    const auto patience = dc::client::patience_of(duration_of(timeout));
    const auto wait = [&](Duration slice) { return client_->wait_applied(number, slice, patience); };
    if (!wait_in_slices(timeout, wait, is_true)) return nb::none();
    auto failure = client_->update_failure(number);
    if (!failure) return nb::make_tuple();
    return tuple_of({0, std::move(*failure)});
  }

  nb::tuple state() {
    const auto counts = value_or_raise(client_->counts());
    const auto& state = counts.state;
    return nb::make_tuple(state.workers, state.starting, state.nodes, state.slots, state.eligible);
  }
  /// Waits for so many workers; false at the timeout.
  bool wait_workers(std::uint32_t count, double timeout) {
    const auto patience = dc::client::patience_of(duration_of(timeout));
    value_or_raise(client_->want_workers(count));
    const bool there = wait_in_slices(
        timeout, [&](Duration slice) { return client_->wait_ready(count, slice, patience); }, is_true);
    if (!there) value_or_raise(client_->want_workers(0));  // nobody waits for them any more
    return there;
  }
  void close() {
    const Unlocked unlocked;
    client_->close();
  }
  /// Detaches from a named pool and waits for it, or closes another one. An exception that a signal's handler raises
  /// ends the waiting.
  void end() { end_client(*client_); }
  static void end_client(dc::client::PoolClient& client);
  std::string status() {
    return result_or_raise([&] { return client_->head_status(); });
  }

 private:
  std::shared_ptr<dc::client::PoolClient> client_;
};

void PyClient::end_client(dc::client::PoolClient& client) {
  if (client.named()) client.begin_detach();
  bool done = !client.named();
  while (!done) {
    {
      const Unlocked unlocked;
      done = client.wait_detached(signal_check_interval);
    }
    if (PyErr_CheckSignals() == 0) continue;
    nb::python_error interrupted;  // kept while the notice of what may be missing is shown
    {
      const Unlocked unlocked;
      client.close();
    }
    throw interrupted;
  }
  const Unlocked unlocked;
  client.close();
}

/// At the end of the interpreter: ends the clients, then lets in the threads that waited for them.
void end_all() {
  for (const auto& one : std::exchange(clients(), {})) {
    const auto client = one.lock();
    if (!client) continue;
    try {
      PyClient::end_client(*client);
    } catch (nb::python_error&) {
      // Ctrl-C: the program does not wait any longer.
    }
  }
  try {
    nb::module_::import_("distributed_computing._output").attr("finish")();
  } catch (nb::python_error&) {
    // Ctrl-C: what is left is not shown.
  }
  ending = true;
  const auto deadline = std::chrono::steady_clock::now() + ending_patience;
  while (Unlocked::count > 0 && std::chrono::steady_clock::now() < deadline) {
    const nb::gil_scoped_release unlocked;
    std::this_thread::sleep_for(std::chrono::milliseconds(1));
  }
}

/// What the package shares with the core.
void define_limits(nb::module_& module) {
  using dc::client::Patience;
  namespace limits = dc::limits;
  const auto number = [](Patience patience) { return static_cast<int>(patience); };
  module.attr("PATIENCE") = nb::make_tuple(number(Patience::none), number(Patience::limited), number(Patience::perhaps),
                                           number(Patience::forever));
  module.attr("DEFAULT_PORT") = limits::default_port;
  module.attr("POOL_NAME_BYTES_MAX") = limits::pool_name_bytes_max;
  module.attr("JOB_KEY_BYTES_MAX") = limits::job_key_bytes_max;
  module.attr("IMAP_WINDOW_JOBS") = limits::imap_window_jobs;
  module.attr("WEIGHT_MIN") = limits::weight_min;
  module.attr("WEIGHT_MAX") = limits::weight_max;
  module.attr("GPUS_PER_WORKER_MAX") = limits::gpus_per_worker_max;
  module.attr("THREADS_PER_WORKER_MAX") = limits::threads_per_worker_max;
}

std::string status(const std::string& address, std::uint16_t port, nb::bytes password) {
  const std::string secret(password.c_str(), password.size());
  return result_or_raise([&] { return dc::client::head_status({address, port, secret, {}, {}}); });
}

}  // namespace

NB_MODULE(_client, module) {
  nb::set_leak_warnings(false);
  define_payloads(module);
  define_error_kinds(module);
  define_limits(module);
  define_options(module);
  nb::class_<PyStream>(module, "Stream")
      .def("submit", &PyStream::submit, nb::arg("parts"), nb::arg("key") = "")
      .def("submit_many", &PyStream::submit_many, nb::arg("items"), nb::arg("keys") = std::vector<std::string>())
      .def("take", &PyStream::take, nb::arg("timeout"), nb::arg("max") = 4096, nb::arg("patience") = 0)
      .def("hand_over", &PyStream::hand_over, nb::arg("sequences"))
      .def("in_flight", &PyStream::in_flight)
      .def("close", &PyStream::close);
  define_window(module);
  nb::class_<PyClient>(module, "PoolClient")
      .def(nb::init<const std::string&, std::uint16_t, nb::bytes, const dc::PoolOptions&, nb::handle, double,
                    const std::string&, std::uint64_t, const std::string&, bool, bool>(),
           nb::kw_only(), nb::arg("address"), nb::arg("port"), nb::arg("password"), nb::arg("options"), nb::arg("spec"),
           nb::arg("connect_timeout"), nb::arg("fingerprint"), nb::arg("show_output"), nb::arg("name") = "",
           nb::arg("attach_only") = false, nb::arg("steal") = false)
      .def("wait_open", &PyClient::wait_open, nb::arg("timeout"))
      .def("opened", &PyClient::opened)
      .def("open_stream", &PyClient::open_stream)
      .def("read_earlier", &PyClient::read_earlier, nb::arg("in_order"))
      .def("update", &PyClient::update, nb::arg("parts"))
      .def("define", &PyClient::define, nb::arg("parts"))
      .def("definitions", &PyClient::definitions, nb::arg("spec_bytes"))
      .def("wait_applied", &PyClient::wait_applied, nb::arg("number"), nb::arg("timeout"))
      .def("wait_workers", &PyClient::wait_workers, nb::arg("count"), nb::arg("timeout"))
      .def("state", &PyClient::state)
      .def("status", &PyClient::status)
      .def("close", &PyClient::close)
      .def("end", &PyClient::end);
  shown::define(module);
  module.def("status", &status, nb::arg("address"), nb::arg("port"), nb::arg("password"));
  nb::module_::import_("atexit").attr("register")(nb::cpp_function(&end_all));
}
