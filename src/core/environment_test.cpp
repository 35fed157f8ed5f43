// Variables that a pool sets in its workers: which it may.
#include "core/environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include "core/limits.hpp"

namespace dc {
namespace {

using testing::HasSubstr;

TEST(Environment, APoolSetsWhatItLikes) {
  EXPECT_EQ(problem_of_environment({}), "");
  EXPECT_EQ(problem_of_environment({"A=1", "B=", "C=x=y", "PYTHONPATH=/a:/b", "Ä ö=ü\n\xff", "OMP_NUM_THREADS=3"}), "");
  EXPECT_EQ(problem_of_environment({"CUDA_VISIBLE_DEVICES_=1", "cuda_visible_devices=1", "DISTRIBUTED_COMPUTING=1"}),
            "");
}

TEST(Environment, ButNotWhatShowsAWorkerItsDevicesNorWhatIsOurs) {
  for (const std::string name :
       {"CUDA_VISIBLE_DEVICES", "CUDA_DEVICE_ORDER", "ROCR_VISIBLE_DEVICES", "HIP_VISIBLE_DEVICES"})
    EXPECT_THAT(problem_of_environment({"A=1", name + "="}),
                HasSubstr("env cannot set " + name + ": a worker's node shows it its own devices"));
  EXPECT_THAT(problem_of_environment({"DISTRIBUTED_COMPUTING_SLOT=7"}),
              HasSubstr("env cannot set DISTRIBUTED_COMPUTING_SLOT"));
}

TEST(Environment, NorWhatNoProcessCanHave) {
  EXPECT_THAT(problem_of_environment({"=x"}), HasSubstr("without a name"));
  EXPECT_EQ(problem_of_environment({"A"}), "env: A has no value");
  EXPECT_THAT(problem_of_environment({std::string("A=1\0B=2", 7)}), HasSubstr("the value of A has a NUL"));
  EXPECT_THAT(problem_of_environment({std::string("A\0B=2", 5)}), HasSubstr("has a NUL character"));
  EXPECT_EQ(problem_of_environment({"A=1", "B=2", "A=3"}), "env sets A twice");
  const std::string large(limits::environment_bytes_max - 2, 'x');
  EXPECT_THAT(problem_of_environment({"A=" + large}), HasSubstr("at most 65536 are allowed"));
  EXPECT_EQ(problem_of_environment({"A=" + large.substr(1)}), "");
  EXPECT_THAT(problem_of_environment(std::vector<std::string>(limits::environment_names_max + 1, "A=1")),
              HasSubstr("1025 variables"));
}

}  // namespace
}  // namespace dc
