// For tests: directories with files in them, and the stand-in for NVML driven by one.
#pragma once

#include <gtest/gtest.h>

#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <string>

#include "gpu/files.hpp"
#include "gpu/nvml.hpp"

namespace dc::gpu {

/// A directory of its own, and the environment in which the stand-in is used.
class Machine : public testing::Test {
 protected:
  Machine() {
    std::string pattern = testing::TempDir() + "dc-gpu-XXXXXX";
    root = ::mkdtemp(pattern.data());
    ::setenv(nvml_variable, FAKE_NVML, 1);
    ::setenv("FAKE_NVML_FILE", (root / "nvml").c_str(), 1);
    ::setenv(sysfs_variable, (root / "sys").c_str(), 1);
  }
  ~Machine() override {
    ::unsetenv(nvml_variable);
    ::unsetenv("FAKE_NVML_FILE");
    ::unsetenv(sysfs_variable);
    std::error_code ignored;
    std::filesystem::remove_all(root, ignored);
  }
  /// In one step: the stand-in never reads half a file.
  void write(const std::string& name, const std::string& text) const {
    const std::filesystem::path file = root / name;
    std::filesystem::create_directories(file.parent_path());
    std::ofstream(file.string() + ".new") << text;
    std::filesystem::rename(file.string() + ".new", file);
  }
  void nvml(const std::string& text) const { write("nvml", text); }

  std::filesystem::path root;
};

}  // namespace dc::gpu
