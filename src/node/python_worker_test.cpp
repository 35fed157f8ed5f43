// Which of the node's variables reach its workers unchanged.
#include "node/python_worker.hpp"

#include <gtest/gtest.h>

namespace dc::node {
namespace {

TEST(PythonWorker, NothingRelativeIsSearched) {
  EXPECT_EQ(without_relative_entries("PYTHONPATH=/a:/b/c"), "PYTHONPATH=/a:/b/c");
  EXPECT_EQ(without_relative_entries("PYTHONPATH=:/a::/b:"), "PYTHONPATH=/a:/b");
  EXPECT_EQ(without_relative_entries("PYTHONPATH=.:src:/a:../x"), "PYTHONPATH=/a");
  for (const char* nothing : {"PYTHONPATH=", "PYTHONPATH=.", "PYTHONPATH=:", "PYTHONPATH", "PYTHONUSERBASE=here",
                              "PYTHONPYCACHEPREFIX=", "PYTHONHOME=."}) {
    EXPECT_EQ(without_relative_entries(nothing), "") << nothing;
  }
  EXPECT_EQ(without_relative_entries("PYTHONUSERBASE=~/base"), "PYTHONUSERBASE=~/base");
  EXPECT_EQ(without_relative_entries("PYTHONHOME=/usr:/opt"), "PYTHONHOME=/usr:/opt");
}

TEST(PythonWorker, OtherVariablesAreNotTouched) {
  for (const char* other : {"PATH=.:/bin", "PYTHONPATHS=.", "EMPTY=", "NO_VALUE"})
    EXPECT_EQ(without_relative_entries(other), other);
}

}  // namespace
}  // namespace dc::node
