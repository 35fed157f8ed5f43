// Whether this process is a worker, or was started by one: nodes tell their workers by a variable, which is inherited.
#pragma once

#include <charconv>
#include <cstdint>
#include <cstdlib>
#include <string_view>

#include "core/ids.hpp"

namespace dc {

/// Its value is the worker's id.
inline constexpr const char* worker_variable = "DISTRIBUTED_COMPUTING_WORKER";

/// The worker that this process is, or was started by; value 0: none.
inline WorkerId own_worker() {
  const char* value = std::getenv(worker_variable);
  WorkerId worker;
  if (!value) return worker;
  const std::string_view digits(value);
  std::from_chars(digits.data(), digits.data() + digits.size(), worker.value);
  return worker;
}

}  // namespace dc
