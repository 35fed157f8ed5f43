// See forked.hpp.
#include "worker/forked.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/stat.h>
#include <unistd.h>

#include <cstdio>
#include <iostream>

#include "wire/claims.hpp"

namespace dc::worker {
namespace {

bool is_copy = false;  // written in a process that has one thread
struct stat claims_file {};

/// In the child, which may have been forked from among many threads.
void begin_copy() {
  is_copy = true;
  struct stat now {};
  const bool ours = ::fstat(wire::worker_claims_fd, &now) == 0 && now.st_ino == claims_file.st_ino &&
                    now.st_dev == claims_file.st_dev;  // and nothing that the user's code has put there
  if (ours) ::dup3(STDERR_FILENO, wire::worker_claims_fd, O_CLOEXEC);
}

}  // namespace

void watch_forks() {
  ::fstat(wire::worker_claims_fd, &claims_file);
  ::pthread_atfork(nullptr, nullptr, begin_copy);
}

bool forked() { return is_copy; }

void end_copy(const Outcome& outcome) {
  if (outcome.error) std::fprintf(stderr, "%s\n", outcome.error->message.c_str());
  std::cout.flush();
  std::fflush(nullptr);
  ::_exit(outcome.error ? 1 : 0);
}

}  // namespace dc::worker
