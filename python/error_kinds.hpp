// The numbers of ErrorKind by their names: the package takes them from its modules.
#pragma once

#include <nanobind/nanobind.h>

#include "core/job.hpp"

namespace dc::python {

/// Null: there is no such kind, nor one with a higher number.
inline const char* name_of(ErrorKind kind) {
  switch (kind) {
    case ErrorKind::job_error:
      return "job_error";
    case ErrorKind::worker_died:
      return "worker_died";
    case ErrorKind::job_timeout:
      return "job_timeout";
    case ErrorKind::worker_init_error:
      return "worker_init_error";
    case ErrorKind::pool_closed:
      return "pool_closed";
    case ErrorKind::too_large:
      return "too_large";
    case ErrorKind::serialization:
      return "serialization";
    case ErrorKind::no_device:
      return "no_device";
    case ErrorKind::not_stored:
      return "not_stored";
    case ErrorKind::pool_busy:
      return "pool_busy";
    case ErrorKind::pool_not_found:
      return "pool_not_found";
    case ErrorKind::pool_deadlock:
      return "pool_deadlock";
  }
  return nullptr;
}

inline void define_error_kinds(nanobind::module_& module) {
  nanobind::dict kinds;
  for (int number = 0; const char* name = name_of(static_cast<ErrorKind>(number)); ++number) kinds[name] = number;
  module.attr("ERROR_KINDS") = kinds;
}

}  // namespace dc::python
