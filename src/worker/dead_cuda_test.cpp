// What is asked of CUDA where it is loaded, and what is made of the answer.
#include "worker/dead_cuda.hpp"

#include <dlfcn.h>
#include <gtest/gtest.h>

namespace dc::worker {
namespace {

using Text = std::optional<std::string>;

TEST(DeadCuda, AnErrorIsDeadlyOrPasses) {
  void* library = ::dlopen(FAKE_CUDA, RTLD_NOW);
  ASSERT_NE(library, nullptr) << ::dlerror();
  const auto fail = reinterpret_cast<void (*)(int)>(::dlsym(library, "fake_cuda_fail"));
  EXPECT_EQ(dead_cuda(), Text("error 719: as the test said"));
  fail(700);
  EXPECT_EQ(dead_cuda(), Text("error 700: as the test said"));
  for (const int passes : {0, 1, 2, 600, 701, 900}) {
    fail(passes);
    EXPECT_EQ(dead_cuda(), Text()) << passes;
  }
  ::dlclose(library);
  EXPECT_EQ(dead_cuda(), Text()) << "it is not loaded any more";
}

}  // namespace
}  // namespace dc::worker
