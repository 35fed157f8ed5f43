// dc_warden WORKER NODE: the program of a warden (warden.hpp), which the node keeps within itself and executes from
// memory. Its signals are blocked, descriptor 3 is its pipe.
#include <sys/prctl.h>

#include <cstdlib>

#include "node/warden.hpp"

int main(int argc, char** argv) {
  if (argc != 3) return 2;
  ::prctl(PR_SET_NAME, "dc-warden");
  dc::node::stand_guard(std::atoi(argv[1]), std::atoi(argv[2]), 3);
}
