// A pool's settings: GPU memory, and what they are when nothing is said.
#include "distributed_computing/settings.hpp"

#include <gtest/gtest.h>

#include <utility>

#include "core/job.hpp"

namespace dc {
namespace {

TEST(GpuMemory, IsANumberOfMebibytesOrAText) {
  EXPECT_EQ(GpuMemory{}.mebibytes(), 0U);
  EXPECT_EQ(GpuMemory{8000}.mebibytes(), 8000U);
  const std::pair<const char*, std::uint64_t> texts[] = {
      {"12GB", 11445}, {"12GiB", 12288}, {"512MB", 489}, {"512mib", 512},   {" 1.5 GiB ", 1536},
      {"1KB", 1},      {"1TB", 953675},  {"0GB", 0},     {"2TiB", 2097152},
  };
  for (const auto& [text, mebibytes] : texts) EXPECT_EQ(GpuMemory(text).mebibytes(), mebibytes) << text;
}

TEST(GpuMemory, RefusesWhatItCannotRead) {
  for (const char* text : {"", " ", "12", "GB", "12G", "12GB2", "12XB", "-1GB", "1e3GB", "infGB", "nanGB", "9999999TB",
                           "12 giraffes", "1.2.3GB", "12GiGB"}) {
    EXPECT_THROW(GpuMemory{text}, std::invalid_argument) << text;
  }
  EXPECT_THROW(GpuMemory{-1}, std::invalid_argument);
  try {
    GpuMemory memory("lots");
    ADD_FAILURE();
  } catch (const std::invalid_argument& error) {
    EXPECT_STREQ(
        error.what(),
        "min_gpu_memory_required must be MiB or a text such as \"12GB\", \"12GiB\" or \"512MB\", not \"lots\"");
  }
}

TEST(PoolSettings, AreWhatTheCoreTakesForGranted) {
  const PoolSettings settings;
  const PoolOptions options;
  EXPECT_EQ(settings.port, limits::default_port);
  EXPECT_EQ(settings.weight, options.weight);
  EXPECT_EQ(settings.max_retries, options.max_retries);
  EXPECT_EQ(settings.min_workers, options.min_workers);
  EXPECT_EQ(settings.gpus_per_worker, options.gpus_per_worker);
  EXPECT_EQ(settings.keep_updates_history, options.keep_updates_history);
  EXPECT_EQ(settings.retry_exceptions, options.retry_exceptions);
}

}  // namespace
}  // namespace dc
