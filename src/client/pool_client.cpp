// PoolClient and Stream: what user threads call. None of it waits for the network unless its name says so.
#include "client/pool_client.hpp"

#include <fcntl.h>
#include <pthread.h>
#include <sys/mman.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <iterator>
#include <utility>

#include "client/pool_client_impl.hpp"
#include "core/signals_blocked.hpp"
#include "net/head_address.hpp"

namespace dc::client {

namespace {

std::atomic<unsigned> fork_generation_counter{0};

Failure closed_failure() { return {FailureKind::pool_closed, "the pool is closed", {}}; }

Failure too_large(const char* what, std::uint64_t size, std::uint64_t limit) {
  return {FailureKind::too_large, too_large_text(what, size, limit), {}};
}

}  // namespace

Failure forked_failure() {
  return {FailureKind::pool_closed,
          "a pool cannot be used in a forked child of the process that made it: make a new one there",
          {}};
}

Failure left_failure(const std::string& name) {
  return {FailureKind::pool_closed, "this program has left pool '" + name + "': attach to it again", {}};
}

unsigned fork_generation_now() {
  [[maybe_unused]] static const int registered =
      pthread_atfork(nullptr, nullptr, [] { fork_generation_counter.fetch_add(1, std::memory_order_relaxed); });
  return fork_generation_counter.load(std::memory_order_relaxed);
}

TimePoint deadline_after(Duration timeout) {
  return timeout > std::chrono::hours(24 * 365) ? never : std::chrono::steady_clock::now() + timeout;
}

Result<Payload> map_file(const std::string& path) {
  const auto refused = [&](const char* what) {
    return fail(ErrorCode::io, std::string("cannot ") + what + " the program " + path + ": " + std::strerror(errno));
  };
  const int fd = ::open(path.c_str(), O_RDONLY | O_CLOEXEC);
  if (fd < 0) return refused("open");
  struct stat info {};
  const bool known = ::fstat(fd, &info) == 0;
  const auto size = static_cast<std::size_t>(info.st_size);
  void* memory = known ? ::mmap(nullptr, size, PROT_READ, MAP_PRIVATE, fd, 0) : MAP_FAILED;
  const int problem = errno;
  ::close(fd);
  errno = problem;
  if (memory == MAP_FAILED) return refused("read");
  std::shared_ptr<const void> owner(memory, [size](const void* mapped) { ::munmap(const_cast<void*>(mapped), size); });
  return Payload(std::move(owner), {static_cast<const std::byte*>(memory), size});
}

// --- PoolClient -------------------------------------------------------------------------------------------------

PoolClient::Impl::Impl(ClientOptions given)
    : options(std::move(given)),
      fork_generation(fork_generation_now()),
      head_name(net::head_names(options.address, options.port)),
      leaving({.away = options.leave_patience, .progress = options.leave_progress_patience}) {}

bool PoolClient::Impl::in_forked_child() const { return fork_generation_now() != fork_generation; }

void PoolClient::Impl::begin_wait(WaitFor what, Patience patience) {
  if (patience == Patience::none) return;
  if (waits.begin(what, patience, std::chrono::steady_clock::now())) loop.post([this] { look_at_waits(); });
}

void PoolClient::Impl::end_wait(WaitFor what, Patience patience, bool got) {
  if (patience != Patience::none) waits.end(what, got, std::chrono::steady_clock::now());
}

void PoolClient::Impl::wake() {
  if (std::exchange(woken, true)) return;
  loop.post([this] { drain(); });
}

PoolClient::PoolClient(ClientOptions options) : impl_(std::make_shared<Impl>(std::move(options))) {
  const SignalsBlocked blocked;
  impl_->woken = true;  // run() drains first
  impl_->thread = std::thread([impl = impl_] { impl->run(); });
}

std::shared_ptr<PoolClient> PoolClient::start(ClientOptions options) {
  return std::shared_ptr<PoolClient>(new PoolClient(std::move(options)));
}

PoolClient::~PoolClient() {
  if (impl_->in_forked_child()) {
    // The thread is not in this process and its locks may be held for ever: nothing can be torn down.
    new std::shared_ptr<Impl>(std::move(impl_));
    return;
  }
  end();
  if (impl_->thread.joinable()) impl_->thread.detach();  // a callback dropped the last reference
}

void PoolClient::end() {
  if (impl_->in_forked_child()) return;
  if (named()) {
    begin_detach();
    if (impl_->thread.get_id() != std::this_thread::get_id()) wait_detached(Duration::max());
  }
  close();
}

void PoolClient::close(Duration timeout) {
  if (impl_->in_forked_child()) return;
  {
    const std::lock_guard lock(impl_->mutex);
    impl_->failure = closed_failure();
    if (!impl_->close_asked) {
      impl_->close_asked = timeout;
      impl_->wake();
    }
  }
  impl_->changed.notify_all();
  const std::lock_guard lock(impl_->join_mutex);
  if (impl_->thread.joinable() && impl_->thread.get_id() != std::this_thread::get_id()) impl_->thread.join();
}

Outcomes<bool> PoolClient::wait_open(Duration timeout) {
  if (impl_->in_forked_child()) return forked_failure();
  auto opened = impl_->wait(WaitFor::opening, Patience::limited, timeout, [&] { return impl_->open; });
  const std::lock_guard lock(impl_->mutex);
  // A pool that was open and has failed since says so at the next call, not here.
  if (impl_->open) return true;
  return opened;
}

PoolIsOpen PoolClient::opened() const {
  if (impl_->in_forked_child()) return {};
  const std::lock_guard lock(impl_->mutex);
  return impl_->opened;
}

bool PoolClient::named() const { return !impl_->options.name.empty(); }

std::optional<Failure> PoolClient::Impl::refusal() const {
  if (failure) return failure;
  if (open || options.name.empty()) return std::nullopt;
  return Failure{FailureKind::invalid, "pool '" + options.name + "' is not open so far: wait for it first", {}};
}

Outcomes<std::unique_ptr<Stream>> PoolClient::open_stream() {
  if (impl_->in_forked_child()) return forked_failure();
  const std::lock_guard lock(impl_->mutex);
  if (auto refused = impl_->refusal()) return *refused;
  auto state = std::make_shared<Stream::State>();
  state->id = ++impl_->last_stream;
  impl_->streams.emplace(state->id, state);
  return std::unique_ptr<Stream>(new Stream(shared_from_this(), std::move(state)));
}

Outcomes<UpdateNumber> PoolClient::send_update(Payload payload) {
  if (impl_->in_forked_child()) return forked_failure();
  const std::lock_guard lock(impl_->mutex);
  if (auto refused = impl_->refusal()) return *refused;
  if (payload.size() > impl_->payload_bytes_max) {
    return too_large("an update", payload.size(), impl_->payload_bytes_max);
  }
  impl_->new_updates.push_back(std::move(payload));
  impl_->wake();
  return ++impl_->last_update;
}

Outcomes<bool> PoolClient::wait_accepted(UpdateNumber number, Duration timeout) {
  if (impl_->in_forked_child()) return forked_failure();
  return impl_->wait(WaitFor::update_sent, Patience::limited, timeout, [&] { return impl_->accepted >= number; });
}

Outcomes<UpdateNumber> PoolClient::update(Payload payload) {
  auto number = send_update(std::move(payload));
  if (!number) return number;
  if (auto accepted = wait_accepted(number.value(), Duration::max()); !accepted) return accepted.error();
  return number;
}

Outcomes<bool> PoolClient::wait_applied(UpdateNumber number, Duration timeout, Patience patience) {
  if (impl_->in_forked_child()) return forked_failure();
  return impl_->wait(WaitFor::updates, patience, timeout, [&] { return impl_->applied >= number; });
}

std::optional<Outcome> PoolClient::update_failure(UpdateNumber number) {
  if (impl_->in_forked_child()) return {};
  const std::lock_guard lock(impl_->mutex);
  const auto found = impl_->raised.find(number);
  return found == impl_->raised.end() ? std::nullopt : std::optional(found->second);
}

Outcomes<bool> PoolClient::want_workers(std::uint32_t count) {
  if (impl_->in_forked_child()) return forked_failure();
  const std::lock_guard lock(impl_->mutex);
  if (impl_->failure) return *impl_->failure;
  impl_->new_want = count;
  impl_->wake();
  return true;
}

Outcomes<PoolClient::Counts> PoolClient::counts() {
  if (impl_->in_forked_child()) return forked_failure();
  const std::lock_guard lock(impl_->mutex);
  if (impl_->failure) return *impl_->failure;
  return Counts{impl_->state, impl_->state_version};
}

Outcomes<bool> PoolClient::wait_counts(std::uint64_t version, Duration timeout) {
  if (impl_->in_forked_child()) return forked_failure();
  return impl_->wait(WaitFor::workers, Patience::limited, timeout, [&] { return impl_->state_version != version; });
}

Outcomes<bool> PoolClient::wait_ready(std::uint32_t count, Duration timeout, Patience patience) {
  if (impl_->in_forked_child()) return forked_failure();
  return impl_->wait(WaitFor::workers, patience, timeout, [&] { return impl_->state.workers >= count; });
}

Outcomes<bool> PoolClient::wait_workers(std::uint32_t count, Duration timeout) {
  if (auto asked = want_workers(count); !asked) return asked;
  auto there = wait_ready(count, timeout, patience_of(timeout));
  if (there && !there.value()) static_cast<void>(want_workers(0));  // nobody waits for them any more
  return there;
}

// --- Stream -----------------------------------------------------------------------------------------------------

Stream::Stream(std::shared_ptr<PoolClient> client, std::shared_ptr<State> state)
    : client_(std::move(client)), state_(std::move(state)) {}

Stream::~Stream() { close(); }

Outcomes<JobSequence> Stream::submit(Payload arguments, std::string key) {
  PoolClient::Impl& client = *client_->impl_;
  if (client.in_forked_child()) return forked_failure();
  const std::lock_guard lock(client.mutex);
  if (client.failure) return *client.failure;
  if (arguments.size() > client.payload_bytes_max) {
    return too_large("a job's argument", arguments.size(), client.payload_bytes_max);
  }
  state_->in_flight.fetch_add(1, std::memory_order_relaxed);
  const JobSequence sequence = ++client.last_sequence;
  client.new_jobs.push_back({state_->id, {sequence, client.last_update, std::move(arguments), std::move(key)}});
  client.wake();
  return sequence;
}

Outcomes<JobSequence> Stream::submit(std::vector<Payload> arguments, std::vector<std::string> keys) {
  PoolClient::Impl& client = *client_->impl_;
  if (client.in_forked_child()) return forked_failure();
  const std::lock_guard lock(client.mutex);
  if (client.failure) return *client.failure;
  for (const Payload& payload : arguments) {
    if (payload.size() > client.payload_bytes_max) {
      return too_large("a job's argument", payload.size(), client.payload_bytes_max);
    }
  }
  const JobSequence first = client.last_sequence + 1;
  if (arguments.empty()) return first;
  state_->in_flight.fetch_add(arguments.size(), std::memory_order_relaxed);
  for (Payload& payload : arguments) {
    client.new_jobs.push_back({state_->id, {++client.last_sequence, client.last_update, std::move(payload)}});
  }
  for (std::size_t i = 0; i < keys.size(); ++i) {
    client.new_jobs[client.new_jobs.size() - keys.size() + i].job.key = std::move(keys[i]);
  }
  client.wake();
  return first;
}

Outcomes<std::vector<Completed>> Stream::take(std::size_t max, Duration timeout, Patience patience) {
  if (client_->impl_->in_forked_child()) return forked_failure();
  std::unique_lock lock(state_->mutex);
  if (!state_->handed.empty()) {
    auto done = std::exchange(state_->handed, {});
    lock.unlock();
    client_->impl_->acknowledge(std::move(done));
    lock.lock();
  }
  const auto there_is = [&] { return !state_->ready.empty() || state_->over || state_->closed; };
  if (!there_is() && timeout > Duration::zero()) {
    client_->impl_->begin_wait(WaitFor::results, patience);
    const bool got = wait_until(state_->arrived, lock, deadline_after(timeout), there_is);
    client_->impl_->end_wait(WaitFor::results, patience, got);
  }
  std::vector<Completed> taken;
  if (state_->closed) return closed_failure();
  if (state_->ready.empty()) {
    if (state_->over) return *state_->over;
    return taken;
  }
  const std::size_t there = state_->ready.size() - state_->next;
  if (there <= max && state_->next == 0) {
    taken = std::exchange(state_->ready, {});
  } else {
    const auto first = state_->ready.begin() + static_cast<std::ptrdiff_t>(state_->next);
    const auto last = first + static_cast<std::ptrdiff_t>(std::min(there, max));
    taken.assign(std::make_move_iterator(first), std::make_move_iterator(last));
    state_->next += taken.size();
    if (taken.size() == there) state_->ready.clear(), state_->next = 0;
  }
  state_->in_flight.fetch_sub(taken.size(), std::memory_order_relaxed);
  return taken;
}

std::size_t Stream::in_flight() const { return state_->in_flight.load(std::memory_order_relaxed); }

void Stream::close() {
  PoolClient::Impl& client = *client_->impl_;
  if (client.in_forked_child()) return;
  std::vector<Completed> discarded;
  std::vector<JobSequence> done;
  {
    const std::lock_guard lock(state_->mutex);
    if (std::exchange(state_->closed, true)) return;
    discarded = std::exchange(state_->ready, {});
    done = std::exchange(state_->handed, {});
  }
  state_->arrived.notify_all();
  client.acknowledge(std::move(done));
  const std::lock_guard lock(client.mutex);
  client.streams.erase(state_->id);
  const bool some_outstanding = in_flight() > discarded.size();
  if (some_outstanding && !client.failure) {
    client.dropped.push_back(state_->id);
    client.wake();
  }
}

}  // namespace dc::client
