// A bug stops the process: CHECK is on in production too.
#pragma once

namespace dc::detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace dc::detail

#define DC_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::dc::detail::check_failed(#condition, __FILE__, __LINE__))
