// `distributed-computing status`: what runs in a cluster, for people and for programs.
#pragma once

#include <string>

#include "cli/errand.hpp"
#include "core/result.hpp"

namespace dc::cli {

/// Asks the head for its state: the JSON text described in head/status_json.cpp.
Result<std::string> ask_status(const HeadAccess& access);

/// The same as a table.
std::string status_table(const std::string& json);

}  // namespace dc::cli
