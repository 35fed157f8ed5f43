// See unused_memory.hpp.
#include "head/unused_memory.hpp"

#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <fstream>

#include "core/limits.hpp"

namespace dc::head {
namespace {

std::size_t resident_bytes() {
  std::size_t pages = 0, resident = 0;
  std::ifstream("/proc/self/statm") >> pages >> resident;
  return resident * static_cast<std::size_t>(::sysconf(_SC_PAGESIZE));
}

}  // namespace

void UnusedMemory::give_back(TimePoint now) {
  if (now < next_look_) return;
  const struct mallinfo2 heap = ::mallinfo2();
  const std::size_t used = heap.uordblks + heap.hblkhd, before = resident_bytes();
  const std::size_t many = limits::unused_memory_max + used / 8;
  // What little came of it is not looked for again soon: it lies between things.
  bool helped = true;
  if (before > used + many) {
    ::malloc_trim(0);
    const std::size_t after = resident_bytes();
    helped = before > after && before - after >= many / 4;
  }
  constexpr Duration longest = limits::unused_memory_interval * 32;
  pause_ = helped ? Duration(limits::unused_memory_interval) : std::min<Duration>(2 * pause_, longest);
  next_look_ = now + pause_;
}

}  // namespace dc::head
