// Ending together with the program that started this one.
#pragma once

namespace dc::cli {

/// From here on the end of standard input counts as Ctrl-C: a program that starts this one through a pipe, and holds
/// the other end, takes it along however it dies. To be called once, after the last fork.
void end_with_stdin();

}  // namespace dc::cli
