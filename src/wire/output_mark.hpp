// How a worker says in its output where that of a job ends: a few bytes in the pipe itself, so that they are in order
// with all that is printed, also by child processes and native code.
//
// A mark is a zero byte, "dc", the token of the worker in hexadecimal, and a letter. It is written in one piece, which
// a pipe does not tear apart.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace dc::wire {

enum class JobEnd : char { well = 'w', failed = 'f' };

using OutputMark = std::array<char, 20>;

inline OutputMark output_mark(std::uint64_t token, JobEnd end) {
  OutputMark mark{'\0', 'd', 'c'};
  for (std::size_t i = 0; i < 16; ++i) mark[3 + i] = "0123456789abcdef"[(token >> (4 * i)) & 15];
  mark.back() = static_cast<char>(end);
  return mark;
}

}  // namespace dc::wire
