// See check.hpp.
#include "core/check.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <cstdlib>

#include "core/output.hpp"
#include "core/version.hpp"

namespace dc {

std::string bug_line(std::string_view what) {
  return fmt::format("distributed-computing {} (pid {}): bug: {}; please report this line\n", version, ::getpid(),
                     what);
}

}  // namespace dc

namespace dc::detail {

void check_failed(const char* condition, const char* file, int line) {
  std::string_view place(file);  // where it was built is nobody's business
  if (const auto source = place.rfind("/src/"); source != std::string_view::npos) place.remove_prefix(source + 1);
  output::to_stderr(bug_line(fmt::format("CHECK({}) failed at {}:{}", condition, place, line)));
  output::flush();
  std::abort();
}

}  // namespace dc::detail
