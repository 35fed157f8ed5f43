// The keys of heads that were seen before, as ssh keeps its known hosts: one line each, "HOST:PORT FINGERPRINT".
#pragma once

#include <optional>
#include <string>

#include "core/result.hpp"

namespace dc::net {

/// The fingerprint that `head` ("host:port", as the user names it) had before; nothing when it is new or the file is
/// missing. The first line for a head counts.
std::optional<std::string> known_head(const std::string& file, const std::string& head);

/// Adds a line. The file and its directory are made as needed, for this user alone.
Result<void> remember_head(const std::string& file, const std::string& head, const std::string& fingerprint);

}  // namespace dc::net
