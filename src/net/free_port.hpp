// A port that nobody has.
#pragma once

#include <cstdint>
#include <string>
#include <vector>

#include "core/fd.hpp"
#include "core/result.hpp"

namespace dc::net {

/// A port that is free on all these addresses, and that the system gives to nobody who asks for any: kept for the one
/// who names it, as long as this lives.
class FreePort {
 public:
  static Result<FreePort> find(const std::vector<std::string>& addresses);
  [[nodiscard]] std::uint16_t port() const { return port_; }

 private:
  std::vector<Fd> sockets_;
  std::uint16_t port_ = 0;
};

}  // namespace dc::net
