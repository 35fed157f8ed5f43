// See check.hpp.
#include "core/check.hpp"

#include <fmt/format.h>

#include <cstdlib>

#include "core/output.hpp"

namespace dc::detail {

void check_failed(const char* condition, const char* file, int line) {
  output::to_stderr(fmt::format("distributed-computing: bug: CHECK({}) failed at {}:{}\n", condition, file, line));
  output::flush();
  std::abort();
}

}  // namespace dc::detail
