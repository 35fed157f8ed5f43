// `distributed-computing doctor`: looks at this machine as a node would, and says what is wrong and what to do.
#pragma once

#include <cstdint>
#include <string>

namespace dc::cli {

struct DoctorOptions {
  std::string address = "localhost";  ///< of the head
  std::uint16_t port = 0;
};

/// Prints a line for each thing it looked at. Returns 0 when nothing is wrong, else 1.
int doctor(const DoctorOptions& options);

}  // namespace dc::cli
