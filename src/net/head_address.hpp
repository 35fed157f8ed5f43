// Where heads are: the one or several addresses that a user names.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace dc::net {

struct HeadAddress {
  std::string host;
  std::uint16_t port{};
  bool own_port = false;  ///< it was named with the port
  /// "10.0.0.5:8899" or "[::1]:8899".
  [[nodiscard]] std::string name() const;
};

/// Reads "host1,host2:8900,[::1]:8899"; `port` is for those that name none. `invalid`: the message says what is wrong.
Result<std::vector<HeadAddress>> head_addresses(const std::string& text, std::uint16_t port);

/// "10.0.0.5:8899, 10.0.0.6:8899": the same addresses in sentences. The text itself when it cannot be read.
std::string head_names(const std::string& text, std::uint16_t port);

/// Whether `text` is one fingerprint or several, with commas between them.
bool are_fingerprints(const std::string& text);

}  // namespace dc::net
