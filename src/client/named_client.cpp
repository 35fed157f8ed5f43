// PoolClient and Stream: what only named pools have. Leaving them, acknowledging what the user has done with, and the
// outcomes that earlier clients left.
#include <utility>

#include "client/pool_client.hpp"
#include "client/pool_client_impl.hpp"

namespace dc::client {

// --- Acknowledging ----------------------------------------------------------------------------------------------

void Stream::hand_over(const std::vector<JobSequence>& sequences) {
  PoolClient::Impl& client = *client_->impl_;
  if (client.in_forked_child() || !client_->named()) return;
  std::vector<JobSequence> done;
  {
    const std::lock_guard lock(state_->mutex);
    if (state_->closed) return;
    const TimePoint now = std::chrono::steady_clock::now();
    auto& handed = state_->handed;
    const bool many = handed.size() >= limits::acknowledge_jobs;
    if (many || (!handed.empty() && now - state_->handed_since >= limits::acknowledge_delay)) {
      done = std::exchange(handed, {});
    }
    if (handed.empty()) state_->handed_since = now;
    handed.insert(handed.end(), sequences.begin(), sequences.end());
  }
  client.acknowledge(std::move(done));
}

void PoolClient::Impl::acknowledge(std::vector<JobSequence> sequences) {
  if (sequences.empty()) return;
  const std::lock_guard lock(mutex);
  consumed.insert(consumed.end(), sequences.begin(), sequences.end());
  wake();
}

// --- Earlier clients' jobs --------------------------------------------------------------------------------------

Outcomes<std::unique_ptr<Stream>> PoolClient::read_earlier(bool in_order) {
  if (impl_->in_forked_child()) return forked_failure();
  const std::lock_guard lock(impl_->mutex);
  if (auto refused = impl_->refusal()) return *refused;
  impl_->earlier_asked = in_order;
  impl_->wake();
  if (impl_->streams.contains(earlier_stream)) return std::unique_ptr<Stream>();
  auto state = std::make_shared<Stream::State>();
  state->id = earlier_stream;
  state->in_flight = static_cast<std::size_t>(impl_->opened.remaining);
  impl_->streams.emplace(state->id, state);
  return std::unique_ptr<Stream>(new Stream(shared_from_this(), std::move(state)));
}

// --- Leaving ----------------------------------------------------------------------------------------------------

void PoolClient::begin_detach() {
  if (impl_->in_forked_child()) return;
  std::vector<std::shared_ptr<Stream::State>> streams;
  {
    const std::lock_guard lock(impl_->mutex);
    if (impl_->leave_asked || impl_->close_asked) return;
    if (!impl_->failure) impl_->failure = left_failure(impl_->options.name);
    for (const auto& [id, stream] : impl_->streams) streams.push_back(stream);
  }
  impl_->changed.notify_all();
  // Nothing more is taken from here on: what the user does not have stays in the pool.
  for (const auto& stream : streams) {
    std::vector<JobSequence> done;
    {
      const std::lock_guard lock(stream->mutex);
      done = std::exchange(stream->handed, {});
      stream->ready.clear();
      stream->next = 0;
      stream->left = true;
      stream->over = left_failure(impl_->options.name);
    }
    stream->arrived.notify_all();
    impl_->acknowledge(std::move(done));
  }
  const std::lock_guard lock(impl_->mutex);
  impl_->leave_asked = true;
  impl_->wake();
}

bool PoolClient::wait_detached(Duration timeout) {
  if (impl_->in_forked_child()) return true;
  std::unique_lock lock(impl_->mutex);
  if (impl_->ended) return true;
  impl_->begin_wait(WaitFor::leaving, Patience::limited);
  wait_until(impl_->changed, lock, deadline_after(timeout), [&] { return impl_->ended; });
  impl_->end_wait(WaitFor::leaving, Patience::limited, impl_->ended);
  return impl_->ended;
}

}  // namespace dc::client
