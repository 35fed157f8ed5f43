// A pool of workers of one class on all the machines that joined a head. Feels like multiprocessing.Pool.
//
//   dc::Pool<Trainer> pool({.password = "123456", .address = "194.173.121.37"}, "digits.csv");
//   for (const Score& score : pool.imap_unordered(parameter_sets)) pool.update_workers(CacheEntry{score});
#pragma once

#include <atomic>
#include <chrono>
#include <cstdint>
#include <future>
#include <limits>
#include <memory>
#include <optional>
#include <ranges>
#include <string>
#include <utility>
#include <vector>

#include "distributed_computing/detail/codec.hpp"
#include "distributed_computing/detail/raw_pool.hpp"
#include "distributed_computing/errors.hpp"
#include "distributed_computing/results.hpp"
#include "distributed_computing/settings.hpp"
#include "distributed_computing/worker.hpp"

namespace dc {

/// To be called first in main. In a worker process (which is this same program, started by a node) it serves the node
/// and never returns; elsewhere it does nothing.
void initialize(int argc, char** argv);

/// `Worker` is registered by DISTRIBUTED_COMPUTING_WORKER in this program. All members may be called from several
/// threads. All throw PoolClosed after close() and WorkerInitError once the class turned out to fail everywhere.
template <class Worker>
class Pool {
  static_assert(detail::HasRun<Worker>,
                "the worker class needs one public method run, neither overloaded nor a template");

 public:
  using Result = detail::result_value_t<Worker>;  ///< what run returns; std::monostate for void
  static constexpr std::chrono::nanoseconds forever = std::chrono::nanoseconds::max();

  /// Connects to the head and opens the pool; `arguments` go to every worker's constructor.
  /// With PoolSettings::min_workers it waits for these too. Throws HeadUnreachable, AuthenticationError, TimeoutError
  /// (too few workers within workers_timeout: what() says how many).
  ///
  /// With PoolSettings::name the pool outlives this program: destroying it only leaves it. If a pool of this name is
  /// there, this one goes on with it, with the class, arguments and settings of its first opening. Throws PoolBusy when
  /// another program has it and `steal` is not set; one that has lost its connection is waited for, 28 s at most.
  template <class... Arguments>
  explicit Pool(const PoolSettings& settings, const Arguments&... arguments) {
    static_assert(std::is_constructible_v<Worker, const Arguments&...>,
                  "the worker class has no constructor for these arguments");
    msgpack::sbuffer spec;
    msgpack::packer<msgpack::sbuffer> packer(spec);
    const std::string name = detail::Registration<Worker>::name;
    packer.pack_array(2);
    packer.pack(name);
    packer.pack_array(sizeof...(Arguments));
    (packer.pack(arguments), ...);
    pool_ = detail::open_pool(settings, name, std::string(spec.data(), spec.size()));
  }
  ~Pool() {
    if (pool_) pool_->end();
  }
  Pool(const Pool&) = delete;
  Pool& operator=(const Pool&) = delete;

  /// Goes on with the pool of the name in `settings`, from anywhere; of the other settings only those that concern the
  /// head and `steal` are used. Throws PoolNotFound, PoolBusy, and SerializationError when it is of another class.
  static Pool attach(const PoolSettings& settings) { return Pool(Attached{}, settings); }

  /// Runs all items; their results in the order of the items. An item is the argument of run, or a std::tuple of its
  /// arguments. Throws what the first failed item, in their order, failed with. The results of all others are dropped
  /// then; jobs that were submitted, 8,192 at most, still run, before later jobs of the pool, unless that is closed.
  template <std::ranges::input_range Items>
  std::vector<Result> map(Items&& items) {
    std::vector<Result> values;
    if constexpr (std::ranges::sized_range<Items>) values.reserve(std::ranges::size(items));
    constexpr std::size_t window = 4 * detail::window_jobs;
    const ReadAhead all{.ordered = true, .whole = true, .bounded = false, .jobs_min = window, .jobs_max = window};
    auto results = make_results(std::forward<Items>(items), all);
    for (auto result = results.begin(); result != results.end(); ++result) values.push_back(*result);
    results.all_delivered();
    return values;
  }
  /// The same lazily, for a range that may be endless: see Results.
  template <std::ranges::input_range Items>
  auto imap(Items&& items) {
    return make_results(std::forward<Items>(items), {.ordered = true});
  }
  /// The same, each result as soon as it is there, in any order.
  template <std::ranges::input_range Items>
  auto imap_unordered(Items&& items) {
    return make_results(std::forward<Items>(items), {.ordered = false});
  }

  /// A named pool: the results of earlier programs' jobs that no program has so far, as they are there; waits for those
  /// that still run.
  EarlierResults<Worker> earlier_results() { return EarlierResults<Worker>(pool_->earlier(false)); }
  /// The same in the order in which the jobs were submitted. What is under way when the order changes comes first.
  EarlierResults<Worker> earlier_results_in_order() { return EarlierResults<Worker>(pool_->earlier(true)); }

  /// Runs one job. The future holds the result or the exception. The job cannot be taken back: it runs, whether or not
  /// anybody waits for it, until it ends or the pool is closed.
  template <class... Arguments>
  std::future<Result> submit(const Arguments&... arguments) {
    return submit_job({}, arguments...);
  }
  /// A named pool: the same for a job with a key. Once a job with this key has a result, the next one gets that result
  /// and does not run.
  template <class... Arguments>
  std::future<Result> submit_keyed(const std::string& key, const Arguments&... arguments) {
    detail::check_key(*pool_, key);
    return submit_job(key, arguments...);
  }

  /// Every worker calls handle_update with these arguments once, in order, between two jobs (later workers before their
  /// first; see PoolSettings::keep_updates_history). Returns when the head has the update. With history, a job
  /// submitted afterwards runs only on workers that have applied it.
  template <class... Arguments>
  void update_workers(const Arguments&... arguments) {
    static_assert(detail::HasUpdate<Worker>, "the worker class has no handle_update");
    using Parameters = detail::update_arguments_t<Worker>;
    static_assert(detail::accepts<Parameters, const Arguments&...>, "handle_update does not take these arguments");
    last_update_ = pool_->update(detail::pack_tuple(Parameters(arguments...)));
  }
  /// Waits until every present worker has applied the latest update of this thread's view. Throws TimeoutError,
  /// JobError when handle_update threw, SerializationError when its arguments did not fit, and WorkerDied when a worker
  /// ended in it.
  void wait_for_updates(std::chrono::nanoseconds timeout = forever) { pool_->wait_applied(last_update_, timeout); }

  /// Workers of this pool that are constructed now.
  [[nodiscard]] std::uint32_t get_workers_count() const { return pool_->workers(); }
  /// Nodes (machines) that are connected to the head now.
  [[nodiscard]] std::uint32_t get_nodes_count() const { return pool_->nodes(); }
  /// Throws TimeoutError.
  void wait_for_workers(std::uint32_t count = 1, std::chrono::nanoseconds timeout = forever) {
    pool_->wait_for_workers(count, timeout);
  }

  /// Aborts running jobs and frees the slots; ends a named pool for good. May be called again.
  void close() { pool_->close(); }
  /// Leaves a named pool, which goes on without this program. Waits until the head has accepted every job and update;
  /// when it is away, no more than some seconds: what may be missing then is told on stderr.
  void detach() { pool_->detach(); }

 private:
  struct Attached {};
  Pool(Attached, const PoolSettings& settings)
      : pool_(detail::open_pool(settings, detail::Registration<Worker>::name, std::nullopt)) {}

  template <class... Arguments>
  std::future<Result> submit_job(std::string key, const Arguments&... arguments) {
    using Parameters = detail::run_arguments_t<Worker>;
    static_assert(detail::accepts<Parameters, const Arguments&...>, "run does not take these arguments");
    auto promise = std::make_shared<std::promise<Result>>();
    auto future = promise->get_future();
    pool_->submit(detail::pack_tuple(Parameters(arguments...)), std::move(key),
                  [promise](detail::RawOutcome&& outcome) {
                    try {
                      if (outcome.error) std::rethrow_exception(outcome.error);
                      promise->set_value(detail::decode_result<Worker>(outcome.data, outcome.size));
                    } catch (...) {
                      promise->set_exception(std::current_exception());
                    }
                  });
    return future;
  }

  template <class Items>
  auto make_results(Items&& items, const ReadAhead& read_ahead) {
    using View = std::views::all_t<Items>;
    return Results<Worker, View>(pool_, std::views::all(std::forward<Items>(items)), read_ahead);
  }

  std::shared_ptr<detail::RawPool> pool_;  // shared with results that are still iterated
  std::atomic<std::uint64_t> last_update_ = 0;
};

}  // namespace dc
