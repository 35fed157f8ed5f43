// A program outside the tree: every call of the C++ interface once, with the faults that a user meets.
#include <distributed_computing/distributed_computing.hpp>

#include <csignal>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <iostream>
#include <numeric>
#include <ranges>
#include <set>
#include <stdexcept>
#include <string>
#include <tuple>
#include <vector>

struct Point {
  double x{};
  std::string name;
  bool operator==(const Point&) const = default;
  MSGPACK_DEFINE(x, name)
};

class Worker : public dc::WorkerInterface {
 public:
  Worker(std::string prefix, const std::vector<int>& offsets)
      : prefix_(std::move(prefix)), offset_(std::accumulate(offsets.begin(), offsets.end(), 0)) {}
  Point run(double x, const std::string& name) {
    if (name == "throw") throw std::invalid_argument("no such name");
    if (name == "die") std::raise(SIGKILL);
    if (name == "print") {
      std::cout << "on " << x;
      std::cerr << "problem\n";
      std::printf(" stdout");
    }
    return {x + offset_, prefix_ + name};
  }
  void handle_update(int offset) { offset_ = offset; }

 private:
  std::string prefix_;
  int offset_;
};
DISTRIBUTED_COMPUTING_WORKER(Worker);

class Unbuildable : public dc::WorkerInterface {
 public:
  Unbuildable() { throw std::runtime_error("no data set here"); }
  int run(int x) { return x; }
};
DISTRIBUTED_COMPUTING_WORKER(Unbuildable);

class Large : public dc::WorkerInterface {
 public:
  std::vector<char> run(std::vector<char> bytes) { return bytes; }
};
DISTRIBUTED_COMPUTING_WORKER(Large);

/// Tells who it is, and a variable.
class Knows : public dc::WorkerInterface {
 public:
  Knows() : had_job_(dc::worker().job_number.has_value()) {}
  std::vector<std::string> run(const std::string& variable) {
    const dc::WorkerInfo me = dc::worker();
    if (variable == "child") return {output_of_this_program()};
    const char* value = std::getenv(variable.c_str());
    return {had_job_ ? "a job" : "no job",
            me.device,
            me.pool,
            std::to_string(*me.job_number),
            std::to_string(me.attempt),
            me.key,
            value ? value : "none"};
  }

 private:
  /// Started by a worker it is no worker itself.
  static std::string output_of_this_program() {
    const std::string command = std::filesystem::read_symlink("/proc/self/exe").string() + " 2>&1";
    FILE* pipe = ::popen(command.c_str(), "r");
    std::string output(200, ' ');
    output.resize(std::fread(output.data(), 1, output.size(), pipe));
    ::pclose(pipe);
    return output;
  }
  bool had_job_;
};
DISTRIBUTED_COMPUTING_WORKER(Knows);

namespace {

int failures = 0;
void check(bool condition, const char* what) {
  if (condition) return;
  std::cerr << "wrong: " << what << "\n";
  ++failures;
}

template <class Error>
void check_throws(const std::function<void()>& call, const std::string& text, const char* what) {
  try {
    call();
  } catch (const Error& error) {
    if (std::string(error.what()).find(text) == std::string::npos) std::cerr << error.what() << "\n";
    return check(std::string(error.what()).find(text) != std::string::npos, what);
  } catch (const std::exception& error) {
    std::cerr << "another exception: " << error.what() << "\n";
  }
  check(false, what);
}

void use(const dc::PoolSettings& settings) {
  dc::Pool<Worker> pool(settings, "p-", std::vector<int>{1, 2});
  pool.wait_for_workers(2);
  check(pool.get_workers_count() == 2 && pool.get_nodes_count() == 1, "counts");
  std::vector<std::tuple<double, std::string>> items;
  for (int i = 0; i < 500; ++i) items.emplace_back(i, std::to_string(i));
  const auto values = pool.map(items);
  check(values.size() == 500 && values[7] == Point{10, "p-7"} && values[499] == Point{502, "p-499"}, "map");
  std::size_t place = 0;
  bool ordered = true;
  for (const Point& point : pool.imap(items)) ordered &= point == values[place++];
  check(ordered && place == 500, "imap");
  std::set<std::string> names;
  auto endless = std::views::iota(0) | std::views::transform([](int i) { return std::tuple(1.0, std::to_string(i)); });
  for (const Point& point : pool.imap_unordered(endless)) {
    names.insert(point.name);
    if (names.size() == 1000) break;
  }
  check(names.size() == 1000, "imap_unordered over an endless range");
  pool.update_workers(100);
  check(pool.submit(1.0, "a").get() == Point{101, "p-a"}, "submit after an update");
  pool.wait_for_updates();
  check_throws<dc::JobError>([&] { pool.submit(1.0, "throw").get(); }, "no such name", "JobError");
  check_throws<dc::WorkerDied>([&] { pool.submit(1.0, "die").get(); }, "SIGKILL", "WorkerDied");
  check(pool.submit(2.0, "b").get() == Point{102, "p-b"}, "the pool still works");
  pool.close();
  check_throws<dc::PoolClosed>([&] { pool.map(items); }, "closed", "PoolClosed");
}

void use_output(dc::PoolSettings settings) {
  std::vector<std::string> lines;
  settings.on_output = [&](const dc::OutputLine& line) { lines.push_back((line.on_stderr ? "! " : "") + line.text); };
  {
    dc::Pool<Worker> pool(settings, "p-", std::vector<int>{});
    for (const double i : {1.0, 2.0}) pool.submit(i, "print").get();
  }
  const std::multiset<std::string> sorted(lines.begin(), lines.end());
  check(sorted == std::multiset<std::string>{"on 1 stdout", "on 2 stdout", "! problem", "! problem"}, "output");
  for (const std::string& line : lines) std::cerr << "output: " << line << "\n";
  settings.show_output = dc::Output::errors;
  lines.clear();
  {
    dc::Pool<Worker> pool(settings, "p-", std::vector<int>{});
    pool.submit(1.0, "print").get();
    check_throws<dc::JobError>([&] { pool.submit(1.0, "throw").get(); }, "no such name", "JobError");
  }
  check(lines.empty(), "output of jobs that did not fail");
}

void use_named(dc::PoolSettings settings) {
  settings.name = "sweep";
  {
    dc::Pool<Worker> pool(settings, "p-", std::vector<int>{1});
    check(pool.submit_keyed("key 7", 7.0, "7").get() == Point{8, "p-7"}, "a key that is new");
    std::vector<std::tuple<double, std::string>> items;
    for (int i = 0; i < 50; ++i) items.emplace_back(i, std::to_string(i));
    for (const Point& point : pool.imap(items)) {
      check(point == Point{1, "p-0"}, "the first result");
      break;  // what was read ahead stays in the pool
    }
    check_throws<dc::PoolBusy>([&] { dc::Pool<Worker>::attach(settings); }, "'sweep'", "PoolBusy");
  }
  check_throws<dc::SerializationError>([&] { dc::Pool<Large>::attach(settings); }, "the C++ class Worker", "class");
  auto pool = dc::Pool<Worker>::attach(settings);
  int place = 1;
  bool ordered = true;
  for (const Point& point : pool.earlier_results_in_order()) {
    ordered &= point == Point{place + 1.0, "p-" + std::to_string(place)};
    ++place;
  }
  check(ordered && place > 2, "earlier results in order");
  check(pool.submit_keyed("key 7", 0.0, "die").get() == Point{8, "p-7"}, "a key that is done");
  pool.close();
  check_throws<dc::PoolNotFound>([&] { dc::Pool<Worker>::attach(settings); }, "'sweep'", "PoolNotFound");
}

void use_environment(dc::PoolSettings settings) {
  check_throws<std::logic_error>([] { dc::worker(); }, "this process is none", "outside of workers");
  settings.name = "known";
  settings.env = {{"WHO", "a=b"}};
  settings.threads_per_worker = 3;
  {
    dc::Pool<Knows> pool(settings);
    using Texts = std::vector<std::string>;
    check(pool.submit("WHO").get() == Texts{"no job", "cpu", "known", "1", "1", "", "a=b"}, "a worker knows itself");
    check(pool.submit_keyed("key", "OMP_NUM_THREADS").get() == Texts{"no job", "cpu", "known", "2", "1", "key", "3"},
          "key and threads");
    check(pool.submit("child").get() == Texts{"usage: outside PASSWORD PORT\n"}, "a program that a worker starts");
    pool.close();
  }
  settings.env = {{"CUDA_VISIBLE_DEVICES", "0"}};
  check_throws<std::invalid_argument>([&] { dc::Pool<Knows> pool(settings); }, "cannot set CUDA_VISIBLE_DEVICES",
                                      "env");
  settings.env = {{"A=B", "0"}};
  check_throws<std::invalid_argument>([&] { dc::Pool<Knows> pool(settings); }, "has a '=' in it", "a name in env");
}

}  // namespace

int main(int argc, char** argv) {
  dc::initialize(argc, argv);
  if (argc != 3) return std::cerr << "usage: outside PASSWORD PORT\n", 2;
  dc::PoolSettings settings{.password = argv[1], .port = static_cast<std::uint16_t>(std::stoi(argv[2]))};
  use(settings);
  use_output(settings);
  use_named(settings);
  use_environment(settings);
  check_throws<dc::WorkerInitError>([&] { dc::Pool<Unbuildable>(settings).map(std::vector{1}); }, "no data set here",
                                    "WorkerInitError");
  {
    dc::Pool<Large> pool(settings);
    const std::vector<char> bytes(5 << 20, 'x');
    check(pool.submit(bytes).get() == bytes, "5 MiB there and back");
  }
  auto wrong = settings;
  wrong.password = "wrong";
  check_throws<dc::AuthenticationError>([&] { dc::Pool<Large> pool(wrong); }, "password", "AuthenticationError");
  wrong = settings;
  wrong.port = 1;
  wrong.address = "127.0.0.1";
  wrong.connect_timeout = std::chrono::milliseconds(200);
  check_throws<dc::HeadUnreachable>([&] { dc::Pool<Large> pool(wrong); }, "cannot reach", "HeadUnreachable");
  std::cout << (failures == 0 ? "all fine\n" : "failed\n");
  return failures == 0 ? 0 : 1;
}
