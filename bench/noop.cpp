// The C++ side of the benchmark: no-op throughput, round-trip latency, large payloads. Prints one JSON object.
//
//   bench_noop PASSWORD ADDRESS PORT JOBS
#include <distributed_computing/distributed_computing.hpp>

#include <algorithm>
#include <chrono>
#include <cstdio>
#include <iostream>
#include <ranges>
#include <string>
#include <vector>

class Echo : public dc::WorkerInterface {
 public:
  int run(int x) { return x; }
};
DISTRIBUTED_COMPUTING_WORKER(Echo);

class EchoText : public dc::WorkerInterface {
 public:
  std::string run(std::string text) { return text; }
};
DISTRIBUTED_COMPUTING_WORKER(EchoText);

namespace {
using Clock = std::chrono::steady_clock;
double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

/// MiB per second of 4 MiB payloads that go there and come back, after a few to warm up.
double large_payloads(const dc::PoolSettings& options) {
  constexpr std::size_t payload_bytes = std::size_t{4} << 20;
  constexpr int jobs_before = 20;  // as in run.py
  constexpr int jobs = 200;
  dc::Pool<EchoText> pool(options);
  pool.wait_for_workers(1);
  const std::string payload(payload_bytes, 'x');
  const auto move = [&](int count) {
    std::size_t bytes = 0;
    const auto payloads = std::views::iota(0, count) | std::views::transform([&](int) { return payload; });
    for (const std::string& result : pool.imap_unordered(payloads)) bytes += payload.size() + result.size();
    return static_cast<double>(bytes) / (1 << 20);
  };
  move(jobs_before);
  const auto start = Clock::now();
  const double moved = move(jobs);
  return moved / seconds_since(start);
}
}  // namespace

int main(int argc, char** argv) {
  dc::initialize(argc, argv);
  if (argc != 5) return std::cerr << "usage: bench_noop PASSWORD ADDRESS PORT JOBS\n", 2;
  dc::PoolSettings options;
  options.password = argv[1];
  options.address = argv[2];
  options.port = static_cast<std::uint16_t>(std::stoi(argv[3]));
  const int jobs = std::stoi(argv[4]);
  const double large = large_payloads(options);
  dc::Pool<Echo> pool(options);
  pool.wait_for_workers(1);
  pool.map(std::views::iota(0, 1000));  // warm

  auto start = Clock::now();
  std::int64_t sum = 0;
  for (int value : pool.imap_unordered(std::views::iota(0, jobs))) sum += value;
  const double unordered = jobs / seconds_since(start);
  if (sum != static_cast<std::int64_t>(jobs) * (jobs - 1) / 2) return std::cerr << "wrong results\n", 1;

  start = Clock::now();
  const auto values = pool.map(std::views::iota(0, jobs));
  const double map = static_cast<double>(values.size()) / seconds_since(start);

  std::vector<double> trips;
  for (int i = 0; i < 2000; ++i) {
    start = Clock::now();
    pool.submit(i).get();
    trips.push_back(seconds_since(start) * 1e6);
  }
  std::sort(trips.begin(), trips.end());
  std::printf("{\"imap_unordered\": %.0f, \"map\": %.0f, \"p50_us\": %.1f, \"p99_us\": %.1f, \"MiB_per_s\": %.0f}\n",
              unordered, map, trips[trips.size() / 2], trips[trips.size() * 99 / 100], large);
}
