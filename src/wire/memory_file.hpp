// Memory files: how large payloads go from a node to its workers and back without a copy. No Boost: the worker runtime
// links this.
#pragma once

#include <cstddef>
#include <span>

#include "core/payload.hpp"

namespace dc::wire {

/// A memory file of `bytes` bytes, to be filled by write_memory_file(); what is not written is of no meaning. Takes one
/// that was used before where it can: fresh memory costs ten times as much to fill. Throws std::system_error.
Payload make_memory_file(std::size_t bytes);

/// Puts `bytes` into the file, from `offset` on. Written rather than stored through a mapping, where every fresh page
/// would cost a fault and be cleared first. Throws std::system_error when the system has no memory left for them.
void write_memory_file(const Payload& file, std::size_t offset, std::span<const std::byte> bytes);

/// A memory file with a copy of `bytes`. Throws std::system_error.
Payload memory_file_of(std::span<const std::byte> bytes);

/// Where a large payload is put together: the payload that it becomes, and the writable memory behind it (empty for a
/// memory file, which is written to).
struct Assembly {
  std::span<std::byte> memory;
  Payload payload;
};
/// In memory of this process. Throws std::bad_alloc.
Assembly heap_assembly(std::size_t bytes);
/// In a memory file while this process has descriptors and mappings enough, else as above.
Assembly make_assembly(std::size_t bytes);
/// Throws std::system_error when the system has no memory left for them.
void write(const Assembly& target, std::size_t offset, std::span<const std::byte> bytes);

/// A received memory file, mapped privately: writes stay in this process. Takes the descriptor over and closes it.
/// Where the process has mappings enough already (vm.max_map_count), a copy of the bytes in its memory instead. Throws
/// std::system_error.
Payload map_memory_file(int fd);

}  // namespace dc::wire
