// What a head says when it listens.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "cli/secrets.hpp"

namespace dc::cli {

/// What the join line names: this machine's address where the head listens on all, else the one that it listens on.
std::string shown_address(const std::vector<std::string>& bind);

struct Banner {
  std::uint16_t port{};
  const std::vector<std::string>& bind;
  const std::string& fingerprint;
  const std::string& store;  ///< where named pools are kept, for people
};
/// The line that joins a node, on stdout, and a warning about a weak password on stderr.
void print_banner(const Banner& banner, const Password& password);

}  // namespace dc::cli
