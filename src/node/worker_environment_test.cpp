// What a worker finds in its environment: its share of the cores for threads, what it is, what its pool sets.
#include "node/worker_environment.hpp"

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <cstdlib>
#include <set>

namespace dc::node {
namespace {

using testing::Contains;
using testing::DoubleEq;
using testing::ElementsAre;
using testing::IsEmpty;
using testing::Not;
using Names = std::set<std::string>;
using Texts = std::vector<std::string>;

TEST(CoreShares, SlotsShareTheCoresThatTheyMayUse) {
  EXPECT_THAT(core_shares({{}, {}}, {0, 1, 2, 3, 4}), ElementsAre(DoubleEq(2.5), DoubleEq(2.5)));
  // Two GPUs beside cores 0 and 1, one beside 2 and 3.
  EXPECT_THAT(core_shares({{0, 1}, {0, 1}, {2, 3}}, {0, 1, 2, 3}), ElementsAre(1, 1, 2));
  EXPECT_THAT(core_shares({{0}, {}}, {0, 1, 2}), ElementsAre(0.5, 2.5)) << "of one GPU nothing is known";
  EXPECT_THAT(core_shares({}, {0}), IsEmpty());
}

/// What a worker gets, with these names set by the pool and by the node's environment.
Texts threads(std::uint32_t asked, std::uint32_t share, Names pool = {}, Names node = {}) {
  return thread_variables(
      asked, share,
      {[=](const char* name) { return pool.contains(name); }, [=](const char* name) { return node.contains(name); }});
}

TEST(ThreadVariables, SayTheShareOrWhatThePoolAsksFor) {
  const Texts three{"OMP_NUM_THREADS=3",  "MKL_NUM_THREADS=3",     "OPENBLAS_NUM_THREADS=3",
                    "BLIS_NUM_THREADS=3", "NUMEXPR_NUM_THREADS=3", "NUMEXPR_MAX_THREADS=3"};
  EXPECT_EQ(threads(0, 3), three);
  EXPECT_EQ(threads(3, 1), three);
  EXPECT_EQ(threads(3, 0), three) << "also where there is nothing to share";
  EXPECT_EQ(threads(3, 1, {}, {"OMP_NUM_THREADS", "MKL_NUM_THREADS"}), three) << "the pool knows better than the node";
  EXPECT_THAT(threads(0, 0), IsEmpty());
}

TEST(ThreadVariables, WhatTheUserHasSetStays) {
  EXPECT_EQ(threads(0, 3, {}, {"MKL_NUM_THREADS", "GOTO_NUM_THREADS", "NUMEXPR_MAX_THREADS"}),
            (Texts{"OMP_NUM_THREADS=3", "BLIS_NUM_THREADS=3"}));
  EXPECT_THAT(threads(0, 3, {}, {"OMP_NUM_THREADS"}), IsEmpty()) << "the others do as it says";
  EXPECT_THAT(threads(0, 3, {"OMP_NUM_THREADS"}), IsEmpty());
  EXPECT_EQ(threads(2, 3, {"OMP_NUM_THREADS", "NUMEXPR_NUM_THREADS"}),
            (Texts{"MKL_NUM_THREADS=2", "OPENBLAS_NUM_THREADS=2", "BLIS_NUM_THREADS=2"}));
}

TEST(ThreadVariables, AreNamedForTheStartUpLine) {
  const auto set = [](Names names) { return thread_words([names](const char* name) { return names.contains(name); }); };
  EXPECT_EQ(set({}), "");
  EXPECT_EQ(set({"NUMEXPR_MAX_THREADS", "OMP_NUM_THREADS", "PATH"}), "OMP_NUM_THREADS, NUMEXPR_MAX_THREADS");
}

TEST(WorkerEnvironment, HoldsWhatTheWorkerIsAndWhatItsPoolSets) {
  PoolOptions options;
  options.environment = {
      "NAME=a=b",          "CUDA_VISIBLE_DEVICES=3", "DISTRIBUTED_COMPUTING_SLOT=9", "broken", "PYTHONPATH=/abs:rel",
      "LD_PRELOAD=./x.so", "BLIS_NUM_THREADS=5"};
  const Texts all =
      worker_environment({"CUDA_VISIBLE_DEVICES=GPU-1"}, {WorkerId{7}, "host", "", 2, "cpu", "sweep"}, options, 1);
  const Texts first{"CUDA_VISIBLE_DEVICES=GPU-1",
                    "DISTRIBUTED_COMPUTING_WORKER=7",
                    "DISTRIBUTED_COMPUTING_HOST=host",
                    "DISTRIBUTED_COMPUTING_NODE=host",
                    "DISTRIBUTED_COMPUTING_SLOT=2",
                    "DISTRIBUTED_COMPUTING_DEVICE=cpu",
                    "DISTRIBUTED_COMPUTING_POOL=sweep",
                    "NAME=a=b",
                    "PYTHONPATH=/abs",
                    "LD_PRELOAD=",
                    "BLIS_NUM_THREADS=5"};
  ASSERT_GE(all.size(), first.size());
  EXPECT_EQ(Texts(all.begin(), all.begin() + static_cast<std::ptrdiff_t>(first.size())), first);
  EXPECT_THAT(all, Not(Contains("BLIS_NUM_THREADS=1")));
  if (!std::getenv("OMP_NUM_THREADS")) {
    EXPECT_THAT(all, Contains("OMP_NUM_THREADS=1"));
  }
}

}  // namespace
}  // namespace dc::node
