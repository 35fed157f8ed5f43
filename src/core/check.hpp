// A bug stops the process: CHECK is on in production too.
#pragma once

#include <cstdio>
#include <cstdlib>

namespace dc::detail {
[[noreturn]] inline void check_failed(const char* condition, const char* file, int line) {
  std::fprintf(stderr, "distributed-computing: bug: CHECK(%s) failed at %s:%d\n", condition, file, line);
  std::abort();
}
}  // namespace dc::detail

#define DC_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::dc::detail::check_failed(#condition, __FILE__, __LINE__))
