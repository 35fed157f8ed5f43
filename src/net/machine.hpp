// This machine's own addresses.
#pragma once

#include <sys/socket.h>

namespace dc::net {

/// True when the IPv4 or IPv6 address is loopback, "any", or belongs to one of this machine's interfaces.
bool local_address(const sockaddr& address);

}  // namespace dc::net
