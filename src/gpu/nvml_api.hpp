// The part of NVIDIA's management library (NVML) that is used here: own declarations of its stable interface, so that
// nothing of NVIDIA's is needed to compile. Names, numbers and layouts are those of nvml.h; the suffixes _v2, _v3 are
// part of the names.
#pragma once

#include <cstddef>

namespace dc::gpu::nvml {

using Handle = struct OpaqueDevice*;
using EventSet = struct OpaqueEventSet*;
using Return = int;

inline constexpr Return success = 0, not_supported = 3, no_permission = 4, insufficient_size = 7, driver_not_loaded = 9,
                        gpu_is_lost = 15, reset_required = 16, version_mismatch = 18;
/// "The driver does not tell" in a count of bytes.
inline constexpr unsigned long long not_available = ~0ULL;
inline constexpr unsigned long long event_xid = 8;
inline constexpr std::size_t uuid_size = 96, name_size = 96, version_size = 96;

struct Memory {
  unsigned long long total, free, used;  ///< bytes
};
struct PciInfo {
  char bus_id_legacy[16];
  unsigned domain, bus, device, device_id, subsystem_id;
  char bus_id[32];
};
struct Utilization {
  unsigned gpu, memory;  ///< percent
};
/// Of the functions ..._v2 and ..._v3.
struct ProcessInfo {
  unsigned pid;
  unsigned long long used;  ///< bytes, or not_available
  unsigned gpu_instance, compute_instance;
};
/// Of the function without a suffix.
struct ProcessInfoV1 {
  unsigned pid;
  unsigned long long used;
};
struct EventData {
  Handle device;
  unsigned long long type, data;  ///< `data` of event_xid: the Xid
  unsigned gpu_instance, compute_instance;
};

}  // namespace dc::gpu::nvml
