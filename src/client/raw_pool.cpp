// The C++ interface's compiled part: detail::RawPool is PoolClient with exceptions, and a thread for futures.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "client/output_calls.hpp"
#include "client/raw_outcomes.hpp"
#include "core/device_wish.hpp"
#include "core/environment.hpp"
#include "core/output.hpp"
#include "core/text.hpp"
#include "core/weight.hpp"
#include "distributed_computing/detail/raw_pool.hpp"
#include "distributed_computing/detail/worker_entry.hpp"
#include "distributed_computing/errors.hpp"
#include "distributed_computing/pool.hpp"
#include "net/head_address.hpp"

namespace dc {

void initialize(int, char**) {
  if (detail::in_worker_process()) detail::worker_main();
}

namespace detail {

/// Calls back for the outcomes of one stream, on a thread of its own. Goes after its pool is closed, which ends the
/// thread.
class Callbacks {
 public:
  explicit Callbacks(std::shared_ptr<client::Stream> stream) : stream_(std::move(stream)), thread_([this] { run(); }) {}
  ~Callbacks() { thread_.join(); }
  Callbacks(const Callbacks&) = delete;
  Callbacks& operator=(const Callbacks&) = delete;
  void submit(std::string arguments, std::string key, std::function<void(RawOutcome&&)> done) {
    const std::lock_guard lock(mutex_);
    const JobSequence job = value_or_raise(stream_->submit(Payload(std::move(arguments)), std::move(key)));
    waiting_.emplace(job, std::move(done));
  }

 private:
  void run() {
    while (true) {
      auto taken = stream_->take(take_max, Duration::max(), client::Patience::perhaps);
      if (!taken) return fail_all(taken.error());
      for (auto& completed : taken.value()) {
        std::unique_lock lock(mutex_);
        const auto found = waiting_.find(completed.sequence);
        const auto done = std::move(found->second);
        waiting_.erase(found);
        lock.unlock();
        const JobSequence sequence = completed.sequence;
        done(raw(std::move(completed)));
        stream_->hand_over({sequence});
      }
    }
  }
  void fail_all(const client::Failure& failure) {
    std::unique_lock lock(mutex_);
    auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    for (auto& [sequence, done] : waiting) {
      RawOutcome outcome;
      try {
        raise(failure);
      } catch (...) {
        outcome.error = std::current_exception();
      }
      done(std::move(outcome));
    }
  }
  const std::shared_ptr<client::Stream> stream_;
  std::mutex mutex_;
  std::map<JobSequence, std::function<void(RawOutcome&&)>> waiting_;
  std::thread thread_;
};

RawPool::RawPool(std::shared_ptr<client::PoolClient> client, std::shared_ptr<client::OutputCalls> output)
    : output_(std::move(output)), client_(std::move(client)) {
  try {
    while (!value_or_raise(client_->wait_open(std::chrono::hours(1)))) {
    }
  } catch (...) {
    settle();
    throw;
  }
}

RawPool::~RawPool() { end(); }

std::shared_ptr<client::Stream> RawPool::open_stream() { return value_or_raise(client_->open_stream()); }

void RawPool::submit(std::string arguments, std::string key, std::function<void(RawOutcome&&)> done) {
  std::shared_ptr<Callbacks> callbacks;  // stays while close() on another thread lets go of it
  {
    const std::lock_guard lock(mutex_);
    if (!callbacks_) callbacks_ = std::make_shared<Callbacks>(open_stream());
    callbacks = callbacks_;
  }
  callbacks->submit(std::move(arguments), std::move(key), std::move(done));
}

std::uint64_t RawPool::update(std::string arguments) {
  return value_or_raise(client_->update(Payload(std::move(arguments))));
}

void RawPool::wait_applied(std::uint64_t number, std::chrono::nanoseconds timeout) {
  if (number == 0) return;
  if (!value_or_raise(client_->wait_applied(number, timeout, client::patience_of(timeout))))
    throw TimeoutError("the update was not applied by every worker in time");
  if (const auto failure = client_->update_failure(number)) std::rethrow_exception(exception_of(*failure->error));
}

std::uint32_t RawPool::workers() { return value_or_raise(client_->counts()).state.workers; }

std::uint32_t RawPool::nodes() { return value_or_raise(client_->counts()).state.nodes; }

void RawPool::wait_for_workers(std::uint32_t count, std::chrono::nanoseconds timeout) {
  if (!value_or_raise(client_->wait_workers(count, timeout))) {
    throw TimeoutError("only " + std::to_string(workers()) + " of " + std::to_string(count) + " workers are there");
  }
}

void RawPool::wait_for_first(std::uint32_t count, std::chrono::milliseconds timeout) {
  const bool limited = timeout > std::chrono::milliseconds::zero();
  if (value_or_raise(client_->wait_workers(count, limited ? Duration(timeout) : Duration::max()))) return;
  throw TimeoutError(
      fmt::format("only {} of the {} workers of min_workers were ready after {} ms: add slots (start_node), ask for "
                  "fewer, or wait longer (workers_timeout)",
                  workers(), count, timeout.count()));
}

void RawPool::close() {
  client_->close();
  settle();
}

bool RawPool::named() const { return client_->named(); }

std::shared_ptr<client::Stream> RawPool::earlier(bool in_order) {
  if (!named()) throw std::invalid_argument("only a pool with a name has results of earlier programs");
  const std::lock_guard lock(mutex_);
  auto opened = value_or_raise(client_->read_earlier(in_order));
  if (opened) earlier_ = std::move(opened);
  return earlier_;
}

void RawPool::detach() {
  if (!named()) throw std::invalid_argument("only a pool with a name can be left: this one can be closed");
  end();
}

void RawPool::end() {
  client_->end();
  settle();
}

void RawPool::settle() {
  std::unique_lock lock(mutex_);
  const auto callbacks = std::exchange(callbacks_, nullptr);
  lock.unlock();
  if (output_) output_->finish();
  output::flush();
}

// --- Opening ----------------------------------------------------------------------------------------------------

namespace {

DeviceWish wish_of(Device device) {
  switch (device) {
    case Device::any:
      return DeviceWish::any;
    case Device::gpu:
      return DeviceWish::gpu;
    case Device::cpu:
      return DeviceWish::cpu;
  }
  return DeviceWish::any;
}

void check_name(const PoolSettings& settings, bool attach) {
  if (settings.name.empty() && (attach || settings.steal))
    throw std::invalid_argument(std::string(attach ? "attach" : "steal") + " needs the name of a pool");
  if (settings.name.size() > limits::pool_name_bytes_max)
    throw std::invalid_argument("a pool's name may have " + std::to_string(limits::pool_name_bytes_max) +
                                " bytes, this one has " + std::to_string(settings.name.size()));
}

void set_environment(PoolOptions& options, const PoolSettings& settings) {
  for (const auto& [name, value] : settings.env) {
    if (name.find('=') != name.npos) throw std::invalid_argument("env: the name \"" + name + "\" has a '=' in it");
    options.environment.push_back(name + "=" + value);
  }
  if (const std::string problem = problem_of_environment(options.environment); !problem.empty())
    throw std::invalid_argument(problem);
  if (settings.threads_per_worker > limits::threads_per_worker_max)
    throw std::invalid_argument("threads_per_worker must be at most " + std::to_string(limits::threads_per_worker_max));
  options.threads_per_worker = settings.threads_per_worker;
}

/// Where the lines of the workers go. The calls, if it is a function of the user's.
std::shared_ptr<client::OutputCalls> show_output(const PoolSettings& settings, client::ClientOptions& options) {
  if (settings.show_output.which() == Output::none) return nullptr;
  if (settings.on_output) {
    auto calls = client::OutputCalls::start(settings.on_output);
    options.on_output = [calls](const wire::OutputLines& printed) { calls->push(printed); };
    return calls;
  }
  options.on_output = [](const wire::OutputLines& printed) {
    output::show_lines(printed.stream == OutputStream::out ? STDOUT_FILENO : STDERR_FILENO,
                       fmt::format("[{}/{}] ", printed.host, printed.slot), printed.lines);
  };
  return nullptr;
}

}  // namespace

void check_key(const RawPool& pool, const std::string& key) {
  if (!pool.named()) throw std::invalid_argument("only a pool with a name keeps results by key");
  if (key.empty() || key.size() > limits::job_key_bytes_max)
    throw std::invalid_argument("a key must have 1 to " + std::to_string(limits::job_key_bytes_max) +
                                " bytes, this one has " + std::to_string(key.size()));
}

static_assert(window_jobs == limits::imap_window_jobs);

std::shared_ptr<RawPool> open_pool(const PoolSettings& settings, const std::string& label,
                                   std::optional<std::string> spec) {
  check_name(settings, !spec);
  if (const auto heads = net::head_addresses(settings.address, settings.port); !heads)
    throw std::invalid_argument(heads.error().message);
  if (!settings.fingerprint.empty() && !net::are_fingerprints(settings.fingerprint))
    throw std::invalid_argument(
        "PoolSettings::fingerprint must be \"sha256:\" and 43 characters, as the head shows it, or several "
        "with commas, not \"" +
        settings.fingerprint + "\"");
  client::ClientOptions options;
  options.name = settings.name;
  options.attach_only = !spec;
  options.steal = settings.steal;
  options.address = settings.address;
  options.fingerprint = settings.fingerprint;
  options.port = settings.port;
  options.password = settings.password;
  options.connect_timeout = settings.connect_timeout;
  if (spec) options.spec = Payload(std::move(*spec));
  options.program_path = "/proc/self/exe";
  options.pool.language = Language::cpp;
  options.pool.label = shortened(label, limits::label_bytes_max);
  options.pool.weight = settings.weight;
  options.pool.job_timeout = settings.job_timeout;
  options.pool.init_timeout = settings.init_timeout;
  options.pool.update_timeout = settings.update_timeout;
  options.pool.max_retries = settings.max_retries;
  options.pool.min_workers = settings.min_workers;
  options.pool.min_gpu_memory_mib = settings.min_gpu_memory_required.mebibytes();
  options.pool.device = wish_of(settings.device);
  options.pool.gpus_per_worker = settings.gpus_per_worker;
  for (const std::string& problem : {problem_of_devices(options.pool), problem_of_weight(settings.weight)}) {
    if (!problem.empty()) throw std::invalid_argument(problem);
  }
  set_environment(options.pool, settings);
  options.pool.keep_updates_history = settings.keep_updates_history;
  options.pool.retry_exceptions = settings.retry_exceptions;
  options.pool.forward_output = static_cast<ForwardOutput>(settings.show_output.which());
  options.on_notice = [](const std::string& text) {
    output::to_stderr(fmt::format("distributed-computing: {}\n", text));
  };
  const std::uint32_t awaited = spec ? settings.min_workers : 0;
  auto output = show_output(settings, options);
  auto pool = std::make_shared<RawPool>(client::PoolClient::start(std::move(options)), std::move(output));
  if (awaited > 0) pool->wait_for_first(awaited, settings.workers_timeout);
  return pool;
}

}  // namespace detail
}  // namespace dc
