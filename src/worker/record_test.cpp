// What a worker knows of itself and of its job, read on other threads while it is written.
#include "worker/record.hpp"

#include <gtest/gtest.h>

#include <cstdlib>
#include <thread>

namespace dc::worker {
namespace {

std::string key_of(JobSequence sequence) { return std::string(sequence % 40, static_cast<char>('a' + sequence % 26)); }

TEST(JobNote, IsReadWholeWhileItIsWritten) {
  constexpr JobSequence jobs = 200'000;
  JobNote note;
  EXPECT_EQ(note.read().sequence, 0U);
  std::jthread writer([&] {
    for (JobSequence sequence = 1; sequence <= jobs; ++sequence) {
      note.begin(sequence, static_cast<std::uint32_t>(sequence % 7), key_of(sequence));
      if (sequence % 4 == 0) std::this_thread::yield();
    }
  });
  JobSequence last = 0;
  while (last < jobs) {
    const JobNote::Job job = note.read();
    ASSERT_GE(job.sequence, last);
    if (job.sequence > 0) {
      ASSERT_EQ(job.tries, job.sequence % 7);
      ASSERT_EQ(job.key, key_of(job.sequence));
    }
    last = job.sequence;
  }
  writer.join();
  note.end();
  const JobNote::Job none = note.read();
  EXPECT_EQ(none.sequence, 0U);
  EXPECT_EQ(none.key, "");
}

TEST(JobNote, HasRoomForTheLongestKeyAndNoMore) {
  JobNote note;
  const std::string longest(limits::job_key_bytes_max, 'k');
  note.begin(1, 1, longest);
  EXPECT_EQ(note.read().key, longest);
  note.begin(1, 1, longest + "more");
  EXPECT_EQ(note.read().key, longest);
}

TEST(WorkerInfo, IsThatOfTheEnvironmentInWhatAWorkerHasStarted) {
  ASSERT_FALSE(std::getenv("DISTRIBUTED_COMPUTING_SLOT"));
  EXPECT_FALSE(worker_info());
  EXPECT_THROW(detail::this_worker(), std::logic_error);
  ::setenv("DISTRIBUTED_COMPUTING_WORKER", "330712481793", 1);
  ::setenv("DISTRIBUTED_COMPUTING_SLOT", "3", 1);
  ::setenv("DISTRIBUTED_COMPUTING_POOL", "sweep", 1);
  const WorkerInfo info = detail::this_worker();
  EXPECT_EQ(info.worker_number, 330712481793U);
  EXPECT_EQ(info.slot, 3U);
  EXPECT_EQ(info.pool, "sweep");
  EXPECT_FALSE(info.job_number);
  for (const char* name : {"DISTRIBUTED_COMPUTING_WORKER", "DISTRIBUTED_COMPUTING_SLOT", "DISTRIBUTED_COMPUTING_POOL"})
    ::unsetenv(name);
}

}  // namespace
}  // namespace dc::worker
