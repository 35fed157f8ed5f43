// The product's version, for people. Peers compare limits::protocol_version instead.
#pragma once

namespace dc {

inline constexpr const char* version = "0.1.0";

}  // namespace dc
