// `distributed-computing status`: what runs in a cluster, for people and for programs.
#pragma once

#include <string>

#include "core/result.hpp"
#include "net/ask.hpp"

namespace dc::cli {

/// For all that a command asks of a head: one that does not answer at once is told of on stderr.
net::AskOptions asking(wire::Role role = wire::Role::viewer);

/// The JSON of net::ask_status() as a table.
std::string status_table(const std::string& json);

}  // namespace dc::cli
