// The part of NVIDIA's management library (NVML) that is used here: own declarations of its stable interface, so that
// nothing of NVIDIA's is needed to compile. Names, numbers and layouts are those of nvml.h, with which a test compares
// them (tests/house/test_nvml_header.py); the suffixes _v2, _v3 are part of the names.
#pragma once

#include <cstddef>
#include <type_traits>

namespace dc::gpu::nvml {

using Handle = struct OpaqueDevice*;
using EventSet = struct OpaqueEventSet*;
using Return = int;

inline constexpr Return success = 0, not_supported = 3, no_permission = 4, driver_not_loaded = 9, gpu_is_lost = 15,
                        reset_required = 16, version_mismatch = 18;
/// "The driver does not tell" in a count of bytes.
inline constexpr unsigned long long not_available = ~0ULL;
inline constexpr unsigned long long event_xid = 8;
inline constexpr unsigned no_instance = ~0U;
/// Arguments of the questions about temperature and memory errors.
inline constexpr int sensor_of_gpu = 0, error_uncorrected = 1, counter_since_load = 0;
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
  unsigned long long type, data;            ///< `data` of event_xid: the Xid
  unsigned gpu_instance, compute_instance;  ///< or no_instance: of the whole GPU
};

// clang-format off
/// The functions, as X(name here, name in the library, type).
#define DC_NVML_FUNCTIONS(X)                                                                                \
  X(init, nvmlInit_v2, Return())                                                                            \
  X(shutdown, nvmlShutdown, Return())                                                                       \
  X(error_string, nvmlErrorString, const char*(Return))                                                     \
  X(driver_version, nvmlSystemGetDriverVersion, Return(char*, unsigned))                                    \
  X(process_name, nvmlSystemGetProcessName, Return(unsigned, char*, unsigned))                              \
  X(count, nvmlDeviceGetCount_v2, Return(unsigned*))                                                        \
  X(by_index, nvmlDeviceGetHandleByIndex_v2, Return(unsigned, Handle*))                                     \
  X(uuid, nvmlDeviceGetUUID, Return(Handle, char*, unsigned))                                               \
  X(name, nvmlDeviceGetName, Return(Handle, char*, unsigned))                                               \
  X(pci, nvmlDeviceGetPciInfo_v3, Return(Handle, PciInfo*))                                                 \
  X(memory, nvmlDeviceGetMemoryInfo, Return(Handle, Memory*))                                               \
  X(memory_node, nvmlDeviceGetNumaNodeId, Return(Handle, unsigned*))                                        \
  X(utilization, nvmlDeviceGetUtilizationRates, Return(Handle, Utilization*))                               \
  X(temperature, nvmlDeviceGetTemperature, Return(Handle, int, unsigned*))                                  \
  X(processes, nvmlDeviceGetComputeRunningProcesses_v2, Return(Handle, unsigned*, ProcessInfo*))            \
  X(processes_v3, nvmlDeviceGetComputeRunningProcesses_v3, Return(Handle, unsigned*, ProcessInfo*))         \
  X(processes_v1, nvmlDeviceGetComputeRunningProcesses, Return(Handle, unsigned*, ProcessInfoV1*))          \
  X(mig_mode, nvmlDeviceGetMigMode, Return(Handle, unsigned*, unsigned*))                                   \
  X(mig_max, nvmlDeviceGetMaxMigDeviceCount, Return(Handle, unsigned*))                                     \
  X(mig_by_index, nvmlDeviceGetMigDeviceHandleByIndex, Return(Handle, unsigned, Handle*))                   \
  X(gpu_instance, nvmlDeviceGetGpuInstanceId, Return(Handle, unsigned*))                                    \
  X(compute_instance, nvmlDeviceGetComputeInstanceId, Return(Handle, unsigned*))                            \
  X(cpus, nvmlDeviceGetCpuAffinity, Return(Handle, unsigned, unsigned long*))                               \
  X(memory_errors, nvmlDeviceGetTotalEccErrors, Return(Handle, int, int, unsigned long long*))              \
  X(make_events, nvmlEventSetCreate, Return(EventSet*))                                                     \
  X(watch, nvmlDeviceRegisterEvents, Return(Handle, unsigned long long, EventSet))                          \
  X(wait, nvmlEventSetWait_v2, Return(EventSet, EventData*, unsigned))                                      \
  X(free_events, nvmlEventSetFree, Return(EventSet))
// clang-format on

/// As the library has them; null where it is too old to have one.
struct Functions {
#define DC_NVML_MEMBER(name, symbol, type) std::add_pointer_t<type> name = nullptr;
  DC_NVML_FUNCTIONS(DC_NVML_MEMBER)
#undef DC_NVML_MEMBER
};

}  // namespace dc::gpu::nvml
