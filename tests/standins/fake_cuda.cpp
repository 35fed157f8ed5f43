// A stand-in for NVIDIA's libcuda.so.1: one device, whose context gives error 719 (a kernel failed), or
// that which fake_cuda_fail was told.
#include <cstddef>

namespace {

constexpr int success = 0, invalid_context = 201;
int error = 719, context = 0;
int pushed = 0;

}  // namespace

extern "C" {

void fake_cuda_fail(int code) { error = code; }

int cuDeviceGetCount(int* count) { return *count = 1, success; }
int cuCtxGetCurrent(void** current) { return *current = pushed > 0 ? &context : nullptr, success; }
int cuDevicePrimaryCtxGetState(int, unsigned* flags, int* active) { return *flags = 0, *active = 1, success; }
int cuDevicePrimaryCtxRetain(void** primary, int) { return *primary = &context, success; }
int cuDevicePrimaryCtxRelease_v2(int) { return success; }
int cuCtxPushCurrent_v2(void*) { return ++pushed, success; }
int cuCtxPopCurrent_v2(void** popped) { return *popped = &context, --pushed, success; }
int cuMemGetInfo_v2(std::size_t* free, std::size_t* total) {
  return *free = *total = 1, pushed > 0 ? error : invalid_context;
}
int cuGetErrorString(int, const char** text) { return *text = "as the test said", success; }
}
