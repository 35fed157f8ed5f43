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

TEST(PythonWorker, NoLibraryIsLookedForInTheWorkingDirectory) {
  EXPECT_EQ(without_relative_entries("LD_LIBRARY_PATH=:/opt/x;lib:/opt/y:."), "LD_LIBRARY_PATH=/opt/x:/opt/y");
  EXPECT_EQ(without_relative_entries("LD_LIBRARY_PATH=$ORIGIN/../lib:${ORIGIN}"),
            "LD_LIBRARY_PATH=$ORIGIN/../lib:${ORIGIN}");
  EXPECT_EQ(without_relative_entries("LD_PRELOAD=libjemalloc.so.2 ./here.so:/opt/there.so sub/x.so"),
            "LD_PRELOAD=libjemalloc.so.2:/opt/there.so");
  for (const char* nothing :
       {"LD_LIBRARY_PATH=", "LD_LIBRARY_PATH=:", "LD_LIBRARY_PATH=lib", "LD_PRELOAD=./x.so", "LD_AUDIT=a/b.so"}) {
    EXPECT_EQ(without_relative_entries(nothing), "") << nothing;
  }
}

TEST(PythonWorker, WhatMultiprocessingStartsSearchesNoWorkingDirectoryEither) {
  const auto command = python_worker_command("/usr/bin/python3", "/where");
  EXPECT_EQ(command.at(1), "-P") << "an option, which it hands on; a variable would reach all that the user starts";
  EXPECT_EQ(command.back(), "/where");
}

TEST(PythonWorker, OtherVariablesAreNotTouched) {
  for (const char* other : {"PATH=.:/bin", "PYTHONPATHS=.", "EMPTY=", "NO_VALUE"})
    EXPECT_EQ(without_relative_entries(other), other);
}

}  // namespace
}  // namespace dc::node
