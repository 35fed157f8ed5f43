// Compiled, never run, by test_nvml_header.py: our declarations of NVML against NVIDIA's own.
#define NVML_NO_UNVERSIONED_FUNC_DEFS
#include <nvml.h>

#include <type_traits>

#include "gpu/nvml_api.hpp"

namespace ours = dc::gpu::nvml;

/// Arguments may have other names and be enumerations there, or pointers to structures of the same size.
template <class Ours, class Theirs>
constexpr bool same_argument() {
  if constexpr (std::is_pointer_v<Ours> && std::is_pointer_v<Theirs>) {
    using To = std::remove_pointer_t<Ours>;
    using ToTheirs = std::remove_pointer_t<Theirs>;
    if constexpr (
        requires { sizeof(To); } && requires { sizeof(ToTheirs); })
      return sizeof(To) == sizeof(ToTheirs) && std::is_pointer_v<To> == std::is_pointer_v<ToTheirs> &&
             std::is_class_v<To> == std::is_class_v<ToTheirs>;
    return !requires { sizeof(To); }
    &&!requires { sizeof(ToTheirs); };  // handles
  } else {
    return sizeof(Ours) == sizeof(Theirs) && !std::is_class_v<Ours> && !std::is_class_v<Theirs> &&
           std::is_pointer_v<Ours> == std::is_pointer_v<Theirs>;
  }
}

template <class Ours, class Theirs>
struct Same : std::false_type {};
template <class R, class... A, class TheirR, class... TheirA>
requires(sizeof...(A) == sizeof...(TheirA)) struct Same<R(A...), TheirR(TheirA...)>
    : std::bool_constant<same_argument<R, TheirR>() && (same_argument<A, TheirA>() && ...)> {
};

namespace dc::gpu::nvml {
#define DC_CHECK(name, symbol, type) static_assert(Same<type, decltype(::symbol)>::value, #symbol);
DC_NVML_FUNCTIONS(DC_CHECK)
}  // namespace dc::gpu::nvml

#define SAME_PLACE(Ours, member, Theirs, their_member)                            \
  static_assert(offsetof(ours::Ours, member) == offsetof(Theirs, their_member) && \
                    sizeof(ours::Ours::member) == sizeof(Theirs::their_member) && \
                    sizeof(ours::Ours) == sizeof(Theirs),                         \
                #Theirs "." #their_member)
SAME_PLACE(Memory, total, nvmlMemory_t, total);
SAME_PLACE(Memory, free, nvmlMemory_t, free);
SAME_PLACE(Memory, used, nvmlMemory_t, used);
SAME_PLACE(PciInfo, domain, nvmlPciInfo_t, domain);
SAME_PLACE(PciInfo, bus, nvmlPciInfo_t, bus);
SAME_PLACE(PciInfo, device, nvmlPciInfo_t, device);
SAME_PLACE(PciInfo, bus_id, nvmlPciInfo_t, busId);
SAME_PLACE(Utilization, gpu, nvmlUtilization_t, gpu);
SAME_PLACE(ProcessInfo, pid, nvmlProcessInfo_v2_t, pid);
SAME_PLACE(ProcessInfo, used, nvmlProcessInfo_v2_t, usedGpuMemory);
SAME_PLACE(ProcessInfo, gpu_instance, nvmlProcessInfo_v2_t, gpuInstanceId);
SAME_PLACE(ProcessInfo, used, nvmlProcessInfo_t, usedGpuMemory);  // of _v3
SAME_PLACE(ProcessInfoV1, pid, nvmlProcessInfo_v1_t, pid);
SAME_PLACE(ProcessInfoV1, used, nvmlProcessInfo_v1_t, usedGpuMemory);
SAME_PLACE(EventData, device, nvmlEventData_t, device);
SAME_PLACE(EventData, type, nvmlEventData_t, eventType);
SAME_PLACE(EventData, data, nvmlEventData_t, eventData);
SAME_PLACE(EventData, gpu_instance, nvmlEventData_t, gpuInstanceId);

static_assert(ours::success == NVML_SUCCESS && ours::not_supported == NVML_ERROR_NOT_SUPPORTED);
static_assert(ours::no_permission == NVML_ERROR_NO_PERMISSION);
static_assert(ours::driver_not_loaded == NVML_ERROR_DRIVER_NOT_LOADED);
static_assert(ours::gpu_is_lost == NVML_ERROR_GPU_IS_LOST && ours::reset_required == NVML_ERROR_RESET_REQUIRED);
static_assert(ours::version_mismatch == NVML_ERROR_LIB_RM_VERSION_MISMATCH);
static_assert(ours::not_available == static_cast<unsigned long long>(NVML_VALUE_NOT_AVAILABLE));
static_assert(ours::event_xid == nvmlEventTypeXidCriticalError);
static_assert(ours::sensor_of_gpu == NVML_TEMPERATURE_GPU);
static_assert(ours::error_uncorrected == NVML_MEMORY_ERROR_TYPE_UNCORRECTED);
static_assert(ours::counter_since_load == NVML_VOLATILE_ECC);
static_assert(ours::uuid_size >= NVML_DEVICE_UUID_V2_BUFFER_SIZE && ours::name_size >= NVML_DEVICE_NAME_V2_BUFFER_SIZE);
static_assert(ours::version_size >= NVML_SYSTEM_DRIVER_VERSION_BUFFER_SIZE);
