// Errors of the client as Python exceptions, and how it waits: without the interpreter's lock, and looking for signals.
#pragma once

#include <nanobind/nanobind.h>

#include <algorithm>
#include <cmath>
#include <string>
#include <utility>

#include "client/pool_client.hpp"
#include "client_payload.hpp"

namespace dc::python {

namespace nb = nanobind;
using client::Failure;
using client::FailureKind;
using client::Outcomes;

inline constexpr auto signal_check_interval = std::chrono::milliseconds(50);
// --- Errors -----------------------------------------------------------------------------------------------------

inline const char* class_of_failed_pool(dc::ErrorKind kind) {
  switch (kind) {
    case dc::ErrorKind::worker_init_error:
      return "WorkerInitError";
    case dc::ErrorKind::no_device:
      return "NoSuitableDevice";
    case dc::ErrorKind::serialization:
      return "SerializationError";
    case dc::ErrorKind::not_stored:
      return "NotStored";
    case dc::ErrorKind::pool_busy:
      return "PoolBusy";
    case dc::ErrorKind::pool_not_found:
      return "PoolNotFound";
    case dc::ErrorKind::pool_deadlock:
      return "PoolDeadlock";
    default:
      return "PoolClosed";
  }
}

inline const char* class_of(const Failure& failure) {
  switch (failure.kind) {
    case FailureKind::pool_closed:
      return "PoolClosed";
    case FailureKind::unreachable:
      return "HeadUnreachable";
    case FailureKind::authentication:
      return "AuthenticationError";
    case FailureKind::too_large:
      return "PayloadTooLarge";
    case FailureKind::pool_failed:
      return class_of_failed_pool(failure.info.kind);
    case FailureKind::invalid:
      return "PoolClosed";
  }
  return "PoolClosed";
}

inline nb::str text(const std::string& value) {
  return nb::steal<nb::str>(PyUnicode_DecodeUTF8(value.data(), static_cast<Py_ssize_t>(value.size()), "replace"));
}

/// Raises the class of distributed_computing.errors, with the details as attributes.
[[noreturn]] inline void raise(const Failure& failure) {
  const nb::object type = nb::module_::import_("distributed_computing.errors").attr(class_of(failure));
  nb::object error = type(text(failure.message));
  if (failure.kind == FailureKind::pool_failed) {
    error.attr("traceback") = text(failure.info.traceback);
    error.attr("host") = text(failure.info.host);
    error.attr("slot") = failure.info.slot;
  }
  PyErr_SetObject(type.ptr(), error.ptr());
  throw nb::python_error();
}

template <class T>
T value_or_raise(Outcomes<T>&& result) {
  if (!result) raise(result.error());
  return std::move(result).value();
}

// --- Waiting ----------------------------------------------------------------------------------------------------

inline Duration duration_of(double seconds) {
  if (std::isnan(seconds)) throw nb::value_error("timeout is not a number");
  if (seconds > 1e9) return Duration::max();
  return std::chrono::duration_cast<Duration>(std::chrono::duration<double>(std::max(seconds, 0.0)));
}

/// The interpreter is about to end and all clients are closed: nothing waits any more.
inline bool ending = false;
inline constexpr auto ending_patience = std::chrono::seconds(1);

/// Calls `wait(slice)` without the lock until `done(result)` or the timeout; returns the last result.
template <class Wait, class Done>
auto wait_in_slices(double timeout, Wait wait, Done done) {
  const Duration total = duration_of(timeout);
  const auto start = std::chrono::steady_clock::now();
  for (;;) {
    const Duration left = total == Duration::max() ? total : total - (std::chrono::steady_clock::now() - start);
    auto result = [&] {
      if (left <= Duration::zero() || ending) return wait(Duration::zero());  // returns at once
      const Unlocked unlocked;
      return wait(std::clamp<Duration>(left, Duration::zero(), signal_check_interval));
    }();
    if (!result) raise(result.error());
    if (done(result.value()) || left <= signal_check_interval || ending) return std::move(result).value();
    if (PyErr_CheckSignals() != 0) throw nb::python_error();
  }
}

inline bool is_true(bool value) { return value; }

}  // namespace dc::python
