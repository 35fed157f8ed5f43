// What a process cannot take for granted: that its standard descriptors are open, and that somebody else is the first
// process of the container, who buries the children that others leave behind.
#pragma once

#include <functional>
#include <optional>

namespace dc::cli {

/// stdin, stdout and stderr are open afterwards: what is opened first would take the place of one that is not, and be
/// written to.
void open_standard_descriptors();

/// Where this process is number 1: goes on in a child. The parent calls `in_parent`, passes signals on to the child and
/// reaps whoever ends, until the child does; then the result is its exit code. In the child, and elsewhere, nothing. To
/// be called before there is a thread.
std::optional<int> stay_as_init(const std::function<void()>& in_parent);

}  // namespace dc::cli
