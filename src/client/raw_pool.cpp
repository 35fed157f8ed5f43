// The C++ interface's compiled part: PoolClient behind detail::RawPool, failures as exceptions.
#include <fmt/format.h>
#include <unistd.h>

#include <chrono>
#include <functional>
#include <map>
#include <mutex>
#include <thread>

#include "client/output_calls.hpp"
#include "client/pool_client.hpp"
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
namespace {

using client::Failure;
using client::FailureKind;
using client::PoolClient;

ErrorDetails details_of(const ErrorInfo& info) {
  return {info.host, info.slot, info.traceback, info.type_name, info.exit_status, info.signal};
}

std::exception_ptr exception_of(const ErrorInfo& info) {
  const ErrorDetails details = details_of(info);
  switch (info.kind) {
    case ErrorKind::job_error:
      return std::make_exception_ptr(JobError(info.message, details));
    case ErrorKind::worker_died:
      return std::make_exception_ptr(WorkerDied(info.message, details));
    case ErrorKind::job_timeout:
      return std::make_exception_ptr(JobTimeout(info.message, details));
    case ErrorKind::worker_init_error:
      return std::make_exception_ptr(WorkerInitError(info.message, details));
    case ErrorKind::pool_closed:
      return std::make_exception_ptr(PoolClosed(info.message, details));
    case ErrorKind::too_large:
      return std::make_exception_ptr(PayloadTooLarge(info.message));
    case ErrorKind::serialization:
      return std::make_exception_ptr(SerializationError(info.message, details));
    case ErrorKind::no_device:
      return std::make_exception_ptr(NoSuitableDevice(info.message, details));
    case ErrorKind::not_stored:
      return std::make_exception_ptr(NotStored(info.message, details));
    case ErrorKind::pool_busy:
      return std::make_exception_ptr(PoolBusy(info.message, details));
    case ErrorKind::pool_not_found:
      return std::make_exception_ptr(PoolNotFound(info.message, details));
    case ErrorKind::pool_deadlock:
      return std::make_exception_ptr(PoolDeadlock(info.message, details));
  }
  return std::make_exception_ptr(JobError(info.message, details));
}

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

[[noreturn]] void raise(const Failure& failure) {
  switch (failure.kind) {
    case FailureKind::unreachable:
      throw HeadUnreachable(failure.message);
    case FailureKind::authentication:
      throw AuthenticationError(failure.message);
    case FailureKind::too_large:
      throw PayloadTooLarge(failure.message);
    case FailureKind::pool_failed:
      std::rethrow_exception(exception_of(failure.info));
    case FailureKind::invalid:
      throw DistributedComputingError(failure.message);
    case FailureKind::pool_closed:
      break;
  }
  throw PoolClosed(failure.message);
}

template <class T>
T value_or_raise(client::Outcomes<T>&& result) {
  if (!result) raise(result.error());
  return std::move(result).value();
}

RawOutcome raw(client::Completed&& completed) {
  const Payload payload = std::move(completed.outcome.payload);
  RawOutcome outcome{completed.sequence, payload.owner(), payload.data(), payload.size(), nullptr};
  if (const auto& error = completed.outcome.error) {
    outcome.error = exception_of(*error);
    outcome.text_bytes = error->message.size() + error->traceback.size();
  }
  return outcome;
}

class Stream final : public RawStream {
 public:
  explicit Stream(std::unique_ptr<client::Stream> stream) : stream_(std::move(stream)) {}
  std::uint64_t submit(std::vector<std::string> arguments) override {
    std::vector<Payload> payloads;
    payloads.reserve(arguments.size());
    for (std::string& item : arguments) payloads.emplace_back(std::move(item));
    return value_or_raise(stream_->submit(std::move(payloads)));
  }
  std::vector<RawOutcome> take(std::chrono::nanoseconds timeout, std::size_t max) override {
    std::vector<RawOutcome> outcomes;
    for (auto& completed : value_or_raise(stream_->take(max, timeout, client::Patience::forever)))
      outcomes.push_back(raw(std::move(completed)));
    return outcomes;
  }
  [[nodiscard]] std::size_t in_flight() const override { return stream_->in_flight(); }
  void hand_over(const std::vector<std::uint64_t>& sequences) override { stream_->hand_over(sequences); }

 private:
  std::unique_ptr<client::Stream> stream_;
};

/// Calls back for the outcomes of one stream, on a thread of its own. Goes after its pool is closed, which ends the
/// thread.
class Callbacks {
 public:
  explicit Callbacks(std::unique_ptr<client::Stream> stream) : stream_(std::move(stream)), thread_([this] { run(); }) {}
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
      auto taken = stream_->take(RawStream::take_max, Duration::max(), client::Patience::perhaps);
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
  void fail_all(const Failure& failure) {
    std::unique_lock lock(mutex_);
    auto waiting = std::exchange(waiting_, {});
    lock.unlock();
    for (auto& [sequence, done] : waiting) {
      RawOutcome outcome;
      outcome.sequence = sequence;
      try {
        raise(failure);
      } catch (...) {
        outcome.error = std::current_exception();
      }
      done(std::move(outcome));
    }
  }
  std::unique_ptr<client::Stream> stream_;
  std::mutex mutex_;
  std::map<JobSequence, std::function<void(RawOutcome&&)>> waiting_;
  std::thread thread_;
};

class ClientPool final : public RawPool {
 public:
  ClientPool(client::ClientOptions options, std::shared_ptr<client::OutputCalls> output)
      : output_(std::move(output)), client_(PoolClient::start(std::move(options))) {
    try {
      while (!value_or_raise(client_->wait_open(std::chrono::hours(1)))) {
      }
    } catch (...) {
      settle();
      throw;
    }
  }
  void wait_for_first(std::uint32_t count, std::chrono::milliseconds timeout) {
    const bool limited = timeout > std::chrono::milliseconds::zero();
    if (value_or_raise(client_->wait_workers(count, limited ? Duration(timeout) : Duration::max()))) return;
    throw TimeoutError(
        fmt::format("only {} of the {} workers of min_workers were ready after {} ms: add slots (start_node), ask for "
                    "fewer, or wait "
                    "longer (workers_timeout)",
                    workers(), count, timeout.count()));
  }
  ~ClientPool() override { end(); }
  ClientPool(const ClientPool&) = delete;
  ClientPool& operator=(const ClientPool&) = delete;

  std::unique_ptr<RawStream> open_stream() override {
    return std::make_unique<Stream>(value_or_raise(client_->open_stream()));
  }
  void submit(std::string arguments, std::string key, std::function<void(RawOutcome&&)> done) override {
    std::shared_ptr<Callbacks> callbacks;  // stays while close() on another thread lets go of it
    {
      const std::lock_guard lock(mutex_);
      if (!callbacks_) callbacks_ = std::make_shared<Callbacks>(value_or_raise(client_->open_stream()));
      callbacks = callbacks_;
    }
    callbacks->submit(std::move(arguments), std::move(key), std::move(done));
  }
  std::uint64_t update(std::string arguments) override {
    return value_or_raise(client_->update(Payload(std::move(arguments))));
  }
  void wait_applied(std::uint64_t number, std::chrono::nanoseconds timeout) override {
    if (number == 0) return;
    if (!value_or_raise(client_->wait_applied(number, timeout, client::patience_of(timeout))))
      throw TimeoutError("the update was not applied by every worker in time");
    if (const auto failure = client_->update_failure(number)) std::rethrow_exception(exception_of(*failure->error));
  }
  std::uint32_t workers() override { return value_or_raise(client_->counts()).state.workers; }
  std::uint32_t nodes() override { return value_or_raise(client_->counts()).state.nodes; }
  void wait_for_workers(std::uint32_t count, std::chrono::nanoseconds timeout) override {
    if (!value_or_raise(client_->wait_workers(count, timeout))) {
      throw TimeoutError("only " + std::to_string(workers()) + " of " + std::to_string(count) + " workers are there");
    }
  }
  void close() override {
    client_->close();
    settle();
  }
  [[nodiscard]] bool named() const override { return client_->named(); }
  std::shared_ptr<RawStream> earlier(bool in_order) override {
    if (!named()) throw std::invalid_argument("only a pool with a name has results of earlier programs");
    const std::lock_guard lock(mutex_);
    auto opened = value_or_raise(client_->read_earlier(in_order));
    if (opened) earlier_ = std::make_shared<Stream>(std::move(opened));
    return earlier_;
  }
  void detach() override {
    if (!named()) throw std::invalid_argument("only a pool with a name can be left: this one can be closed");
    end();
  }
  void end() override {
    client_->end();
    settle();
  }

 private:
  void settle() {
    std::unique_lock lock(mutex_);
    const auto callbacks = std::exchange(callbacks_, nullptr);
    lock.unlock();
    if (output_) output_->finish();
    output::flush();
  }

  std::shared_ptr<client::OutputCalls> output_;
  std::shared_ptr<PoolClient> client_;
  std::shared_ptr<RawStream> earlier_;
  std::mutex mutex_;
  std::shared_ptr<Callbacks> callbacks_;
};

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
  auto pool = std::make_shared<ClientPool>(std::move(options), std::move(output));
  if (awaited > 0) pool->wait_for_first(awaited, settings.workers_timeout);
  return pool;
}

}  // namespace detail
}  // namespace dc
