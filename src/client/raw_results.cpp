// What is behind the results of imap, imap_unordered and map, client::Window over a stream of the pool; and behind
// those of earlier clients.
#include <chrono>
#include <utility>

#include "client/raw_outcomes.hpp"
#include "client/window.hpp"
#include "distributed_computing/detail/raw_pool.hpp"

namespace dc::detail {
namespace {

std::size_t bytes_of(const Outcome& outcome) {
  return outcome.payload.size() + (outcome.error ? outcome.error->message.size() + outcome.error->traceback.size() : 0);
}

}  // namespace

struct RawResults::State {
  using Clock = std::chrono::steady_clock;
  using Jobs = client::Window<client::Completed>;

  State(std::shared_ptr<RawPool> of, const ReadAhead& options)
      : pool(std::move(of)),
        stream(pool->open_stream()),
        named(pool->named()),
        whole(options.whole),
        window(client::read_ahead_of(options, named), pool->workers()) {}

  /// Reads and submits some items as far as the window allows; false when it could not read any.
  bool feed(const ReadItem& read) {
    std::vector<Payload> batch;
    std::vector<std::size_t> sizes;
    std::size_t bytes = 0;
    bool slow = false;
    const auto start = Clock::now();
    for (const auto room = window.room(); !slow && room.holds_more(batch.size(), bytes);) {
      std::optional<std::string> item = read();
      if (!item) {
        window.end_items();
        break;
      }
      bytes += sizes.emplace_back(item->size());
      batch.emplace_back(*std::move(item));
      slow = Clock::now() - start > Jobs::batch_time;
    }
    window.submitted(sizes.empty() ? 0 : value_or_raise(stream->submit(std::move(batch))), sizes, slow);
    return !sizes.empty();
  }

  bool take(std::chrono::nanoseconds timeout) {
    auto outcomes = value_or_raise(stream->take(take_max, timeout, client::Patience::forever));
    for (client::Completed& one : outcomes) window.arrived(one.sequence, bytes_of(one.outcome), std::move(one));
    return !outcomes.empty();
  }

  void wait() {
    const auto start = Clock::now();
    const bool came = take(window.begin_wait());
    window.end_wait(came, Clock::now() - start, pool->workers());
  }

  const std::shared_ptr<RawPool> pool;
  const std::shared_ptr<client::Stream> stream;
  const bool named;
  const bool whole;
  std::vector<std::uint64_t> handed_out;  ///< named pools: results that count as delivered only together
  Jobs window;
};

RawResults::RawResults(std::shared_ptr<RawPool> pool, const ReadAhead& options)
    : state_(std::make_shared<State>(std::move(pool), options)) {}

std::optional<RawOutcome> RawResults::next(const ReadItem& read) {
  State& state = *state_;
  while (true) {
    if (state.window.due()) state.feed(read);
    if (auto outcome = state.window.next()) {
      if (state.named)
        state.whole ? state.handed_out.push_back(outcome->sequence) : state.stream->hand_over({outcome->sequence});
      return raw(*std::move(outcome));
    }
    if (state.take(std::chrono::nanoseconds::zero()) || state.feed(read)) continue;
    if (state.window.empty()) return std::nullopt;
    state.wait();
  }
}

void RawResults::all_delivered() {
  if (!state_->handed_out.empty()) state_->stream->hand_over(std::exchange(state_->handed_out, {}));
}

// --- What earlier clients left ----------------------------------------------------------------------------------

std::optional<RawOutcome> next_of(client::Stream& earlier) {
  if (earlier.in_flight() == 0) {
    value_or_raise(earlier.take(1, Duration::zero()));  // the caller has done with the last one
    return std::nullopt;
  }
  // One at a time: what the caller does not ask for stays in the pool.
  auto taken = value_or_raise(earlier.take(1, Duration::max(), client::Patience::forever));
  earlier.hand_over({taken.front().sequence});
  return raw(std::move(taken.front()));
}

std::size_t left_in(const client::Stream& earlier) { return earlier.in_flight(); }

}  // namespace dc::detail
