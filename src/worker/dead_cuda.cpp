// See dead_cuda.hpp.
#include "worker/dead_cuda.hpp"

#include <dlfcn.h>
#include <fmt/format.h>

#include <algorithm>
#include <array>
#include <cstddef>

namespace dc::worker {
namespace {

// Of CUDA's driver interface (cuda.h).
using Context = void*;
using Code = int;
constexpr Code success = 0;
/// Uncorrectable ECC and NVLink errors, contained errors, and those after which "the process must be terminated and
/// relaunched". Other errors (no memory, a launch that is refused) leave the context as it was.
constexpr std::array deadly{214, 220, 226, 700, 702, 710, 714, 715, 716, 717, 718, 719, 721, 810, 911};

struct Driver {
  void* library = ::dlopen("libcuda.so.1", RTLD_NOW | RTLD_NOLOAD);
  template <class Function>
  Function* find(const char* name) const {
    return library ? reinterpret_cast<Function*>(::dlsym(library, name)) : nullptr;
  }
  Code (*count)(int*) = find<Code(int*)>("cuDeviceGetCount");
  Code (*current)(Context*) = find<Code(Context*)>("cuCtxGetCurrent");
  Code (*state)(int, unsigned*, int*) = find<Code(int, unsigned*, int*)>("cuDevicePrimaryCtxGetState");
  Code (*retain)(Context*, int) = find<Code(Context*, int)>("cuDevicePrimaryCtxRetain");
  Code (*release)(int) = find<Code(int)>("cuDevicePrimaryCtxRelease_v2");
  Code (*push)(Context) = find<Code(Context)>("cuCtxPushCurrent_v2");
  Code (*pop)(Context*) = find<Code(Context*)>("cuCtxPopCurrent_v2");
  Code (*memory)(std::size_t*, std::size_t*) = find<Code(std::size_t*, std::size_t*)>("cuMemGetInfo_v2");
  Code (*text)(Code, const char**) = find<Code(Code, const char**)>("cuGetErrorString");

  Driver() = default;
  ~Driver() {
    if (library) ::dlclose(library);
  }
  Driver(const Driver&) = delete;
  Driver& operator=(const Driver&) = delete;

  [[nodiscard]] bool usable() const {
    return count && current && state && retain && release && push && pop && memory && text;
  }
  /// What the current context says to a question that costs nothing. Queries of streams would do as well, and break
  /// a graph that is being recorded.
  [[nodiscard]] Code ask() const {
    std::size_t free = 0, total = 0;
    return memory(&free, &total);
  }
  /// Of the context that the runtime, and so most libraries, uses on this device; success where it is not in use.
  [[nodiscard]] Code ask_primary(int device) const {
    unsigned flags = 0;
    int active = 0;
    if (state(device, &flags, &active) != success || active == 0) return success;
    Context context = nullptr;
    if (const Code code = retain(&context, device); code != success) return code;
    Code code = push(context);
    if (code == success) {
      code = ask();
      pop(&context);
    }
    release(device);
    return code;
  }
};

bool is_deadly(Code code) { return std::find(deadly.begin(), deadly.end(), code) != deadly.end(); }

}  // namespace

std::optional<std::string> dead_cuda() {
  const Driver driver;
  int devices = 0;
  // Not initialised: in a process that has only loaded the library, and in copies of one that uses it.
  if (!driver.usable() || driver.count(&devices) != success) return std::nullopt;
  Context own = nullptr;
  Code code = driver.current(&own) == success && own ? driver.ask() : success;
  for (int device = 0; device < devices && !is_deadly(code); ++device) code = driver.ask_primary(device);
  if (!is_deadly(code)) return std::nullopt;
  const char* text = nullptr;
  return fmt::format("error {}: {}", code,
                     driver.text(code, &text) == success && text ? text : "an error that is not known");
}

}  // namespace dc::worker
