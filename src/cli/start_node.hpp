// The command start_node: a head with a node, a node, or word to the running node to leave.
#pragma once

namespace dc::cli {

/// Returns the exit code: 0 fine, 1 error, 2 wrong usage, 3 refused by the head, 4 port in use.
int start_node(int argc, char** argv);

}  // namespace dc::cli
