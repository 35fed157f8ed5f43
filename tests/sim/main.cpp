// dc_sim [--seeds N] [--first SEED] [--jobs J] | --seed SEED | --same N, all with [--large nodes|jobs]
//
// Runs many seeds in parallel child processes, so that a seed that ends in a failed CHECK is named like any other; or
// one seed with its trace; or checks that seeds give the same trace twice.
#include <fmt/format.h>
#include <sys/mman.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <atomic>
#include <chrono>
#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <new>
#include <string_view>

#include "cluster.hpp"

namespace dc::sim {
namespace {

struct Options {
  std::uint64_t first = 1, seeds = 1000, jobs = 2, failures_max = 10, same = 0;
  std::uint64_t seed = 0;  ///< one, with its trace
  Size size = Size::drawn;
};

/// What the children count, in memory that all share.
struct Shared {
  std::atomic<std::uint64_t> next, events, jobs_run, outcomes, done, failures;
  std::array<std::atomic<std::uint64_t>, 64> at;  ///< the seed that child i is working on; 0: none
};

void say_failure(const Options& options, std::uint64_t seed, const std::string& what) {
  const char* size = options.size == Size::many_nodes  ? " LARGE=nodes"
                     : options.size == Size::many_jobs ? " LARGE=jobs"
                                                       : "";
  fmt::print("FAILED seed {}: {}\n  replay: make sim SEED={}{}\n", seed, what, seed, size);
  std::fflush(stdout);
}

void work(const Options& options, Shared& shared, std::size_t child) {
  while (shared.failures < options.failures_max) {
    const std::uint64_t seed = shared.next++;
    if (seed >= options.first + options.seeds) break;
    shared.at[child] = seed;
    const Report report = run_seed(seed, options.size, false);
    shared.at[child] = 0;
    shared.events += report.events;
    shared.jobs_run += report.jobs_run;
    shared.outcomes += report.outcomes;
    ++shared.done;
    if (report.violation.empty()) continue;
    ++shared.failures;
    say_failure(options, seed, report.violation);
  }
}

pid_t start_child(const Options& options, Shared& shared, std::size_t child) {
  std::fflush(stdout);
  const pid_t pid = ::fork();
  if (pid != 0) return pid;
  work(options, shared, child);
  std::fflush(stdout);
  ::_exit(0);
}

int run_many(const Options& options) {
  void* memory = ::mmap(nullptr, sizeof(Shared), PROT_READ | PROT_WRITE, MAP_SHARED | MAP_ANONYMOUS, -1, 0);
  if (memory == MAP_FAILED) return 2;
  Shared& shared = *new (memory) Shared{};
  shared.next = options.first;
  const auto start = std::chrono::steady_clock::now();
  std::array<pid_t, 64> children{};
  std::size_t living = 0;
  for (std::size_t i = 0; i < options.jobs; ++i, ++living) children[i] = start_child(options, shared, i);
  while (living > 0) {
    int status = 0;
    const pid_t pid = ::waitpid(-1, &status, 0);
    for (std::size_t i = 0; i < options.jobs; ++i) {
      if (children[i] != pid) continue;
      --living;
      const std::uint64_t seed = shared.at[i].exchange(0);
      if (seed == 0) continue;
      ++shared.done;
      ++shared.failures;
      const int signal = WIFSIGNALED(status) ? WTERMSIG(status) : 0;
      say_failure(options, seed,
                  fmt::format("the process ended with {}",
                              signal == SIGABRT ? "a failed CHECK, see above" : ::sigdescr_np(signal)));
      if (shared.failures < options.failures_max) children[i] = start_child(options, shared, i), ++living;
    }
  }
  const double seconds = std::chrono::duration<double>(std::chrono::steady_clock::now() - start).count();
  fmt::print(
      "{} seeds from {}: {} events, {} jobs run, {} outcomes in {:.1f} s; {:.0f} seeds/minute, {:.0f} events/s; {} "
      "failures\n",
      shared.done.load(), options.first, shared.events.load(), shared.jobs_run.load(), shared.outcomes.load(), seconds,
      60 * static_cast<double>(shared.done) / seconds, static_cast<double>(shared.events) / seconds,
      shared.failures.load());
  return shared.failures == 0 && shared.done == options.seeds ? 0 : 1;
}

int run_one(const Options& options) {
  std::setvbuf(stdout, nullptr, _IOLBF, BUFSIZ);
  const Report report = run_seed(options.seed, options.size, true);
  fmt::print("seed {}: {} events, {} jobs run, {} outcomes, trace {:016x}: {}\n", report.seed, report.events,
             report.jobs_run, report.outcomes, report.trace_hash,
             report.violation.empty() ? "fine" : "VIOLATION: " + report.violation);
  return report.violation.empty() ? 0 : 1;
}

int check_same(const Options& options) {
  for (std::uint64_t seed = options.first; seed < options.first + options.same; ++seed) {
    const Report one = run_seed(seed, options.size, false), two = run_seed(seed, options.size, false);
    if (one.trace_hash == two.trace_hash && one.events == two.events) continue;
    fmt::print("FAILED seed {}: two runs differ ({:x} and {:x})\n", seed, one.trace_hash, two.trace_hash);
    return 1;
  }
  fmt::print("{} seeds from {}: each gave the same trace twice\n", options.same, options.first);
  return 0;
}

int usage() {
  fmt::print(stderr,
             "usage: dc_sim [--seeds N] [--first SEED] [--jobs J] [--failures F] | --seed SEED | --same N, [--large "
             "nodes|jobs]\n");
  return 2;
}

}  // namespace
}  // namespace dc::sim

int main(int argc, char** argv) {
  using namespace dc::sim;
  Options options;
  for (int i = 1; i < argc; i += 2) {
    const std::string_view name = argv[i];
    if (i + 1 == argc) return usage();
    const std::string_view text = argv[i + 1];
    const std::uint64_t value = std::strtoull(argv[i + 1], nullptr, 10);
    if (name == "--seeds")
      options.seeds = value;
    else if (name == "--first")
      options.first = value;
    else if (name == "--jobs")
      options.jobs = std::min<std::uint64_t>(std::max<std::uint64_t>(value, 1), 64);
    else if (name == "--failures")
      options.failures_max = value;
    else if (name == "--seed")
      options.seed = value;
    else if (name == "--same")
      options.same = value;
    else if (name == "--large" && text == "nodes")
      options.size = Size::many_nodes;
    else if (name == "--large" && text == "jobs")
      options.size = Size::many_jobs;
    else
      return usage();
  }
  if (options.seed != 0) return run_one(options);
  if (options.same != 0) return check_same(options);
  return run_many(options);
}
