// A bug of our own stops the process, in production too, with one line that a report can be made from. What a peer
// sends or a journal holds is never a reason for it: that ends the session, or refuses the pool.
#pragma once

#include <string>
#include <string_view>

namespace dc {

/// The line, with its end: "distributed-computing 0.1.0 (pid 4711): bug: WHAT; please report this line".
std::string bug_line(std::string_view what);

}  // namespace dc

namespace dc::detail {
[[noreturn]] void check_failed(const char* condition, const char* file, int line);
}  // namespace dc::detail

#define DC_CHECK(condition) \
  ((condition) ? static_cast<void>(0) : ::dc::detail::check_failed(#condition, __FILE__, __LINE__))
