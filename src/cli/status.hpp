// `distributed-computing status`: what runs in a cluster, for people and for programs.
#pragma once

#include <cstdint>
#include <string>

#include "core/result.hpp"

namespace dc::cli {

/// Asks the head for its state: the JSON text described in head/status_json.cpp. `address`: one or several, see
/// net::ConnectOptions.
Result<std::string> ask_status(const std::string& address, std::uint16_t port, const std::string& password,
                               const std::string& fingerprint);

/// The same as a table.
std::string status_table(const std::string& json);

}  // namespace dc::cli
