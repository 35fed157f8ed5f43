// The program dc_warden as bytes within this one (DC_WARDEN is its path at build time), and as a memory file. So no
// installation can lack it, or have another version.
#include <sys/mman.h>
#include <unistd.h>

#include <cstddef>

#include "node/warden.hpp"

asm(".pushsection .rodata\n"
    "dc_warden_begin:\n"
    ".incbin \"" DC_WARDEN
    "\"\n"
    "dc_warden_end:\n"
    ".byte 0\n"
    ".popsection\n");
extern "C" const char dc_warden_begin[], dc_warden_end[];

namespace dc::node {
namespace {

int make_file() {
#ifdef MFD_EXEC
  int file = ::memfd_create("dc-warden", MFD_CLOEXEC | MFD_EXEC);
#else
  int file = ::memfd_create("dc-warden", MFD_CLOEXEC | 0x0010U);  // MFD_EXEC, of Linux 6.3
#endif
  if (file < 0) file = ::memfd_create("dc-warden", MFD_CLOEXEC);
  const auto size = static_cast<ssize_t>(dc_warden_end - dc_warden_begin);
  if (file < 0 || ::write(file, dc_warden_begin, static_cast<std::size_t>(size)) == size) return file;
  ::close(file);
  return -1;
}

}  // namespace

int warden_program() {
  static const int file = make_file();
  return file;
}

}  // namespace dc::node
