// Whether CUDA has failed in this process for good. Of NVIDIA's driver only what the user's code has loaded already is
// asked: a worker without CUDA loads nothing.
#pragma once

#include <optional>
#include <string>

namespace dc::worker {

/// Why no more CUDA work can be done in this process: a kernel failed (illegal address, assertion, …), and every call
/// gives its error again until the process ends. Nothing: CUDA works, or is not in use. Waits for no kernel, and does
/// not disturb the recording of a graph.
std::optional<std::string> dead_cuda();

}  // namespace dc::worker
