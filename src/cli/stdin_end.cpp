// See stdin_end.hpp.
#include "cli/stdin_end.hpp"

#include <unistd.h>

#include <cerrno>
#include <csignal>
#include <thread>

namespace dc::cli {

void end_with_stdin() {
  std::thread([] {
    sigset_t all;  // signals are for the threads that wait for them
    sigfillset(&all);
    ::pthread_sigmask(SIG_BLOCK, &all, nullptr);
    char ignored[64];
    while (true) {
      const ssize_t size = ::read(STDIN_FILENO, ignored, sizeof ignored);
      if (size == 0 || (size < 0 && errno != EINTR)) break;
    }
    ::kill(::getpid(), SIGINT);
  }).detach();
}

}  // namespace dc::cli
