// What is behind the results of imap, imap_unordered and map: client::Window over a stream of the pool.
#include <chrono>
#include <utility>

#include "client/window.hpp"
#include "distributed_computing/detail/raw_pool.hpp"

namespace dc::detail {

struct RawResults::State {
  using Clock = std::chrono::steady_clock;
  using Jobs = client::Window<RawOutcome>;

  State(std::shared_ptr<RawPool> of, const ReadAhead& options)
      : pool(std::move(of)),
        stream(pool->open_stream()),
        named(pool->named()),
        whole(options.whole),
        window(options, pool->workers()) {}

  /// Reads and submits some items as far as the window allows; false when it could not read any.
  bool feed(const ReadItem& read) {
    std::vector<std::string> batch;
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
      batch.push_back(*std::move(item));
      slow = Clock::now() - start > Jobs::batch_time;
    }
    window.submitted(sizes.empty() ? 0 : stream->submit(std::move(batch)), sizes, slow);
    return !sizes.empty();
  }

  bool take(std::chrono::nanoseconds timeout) {
    std::vector<RawOutcome> outcomes = stream->take(timeout);
    for (RawOutcome& outcome : outcomes) window.arrived(outcome.sequence, outcome.bytes(), std::move(outcome));
    return !outcomes.empty();
  }

  void wait() {
    const auto start = Clock::now();
    const bool came = take(window.begin_wait());
    window.end_wait(came, Clock::now() - start, pool->workers());
  }

  const std::shared_ptr<RawPool> pool;
  const std::unique_ptr<RawStream> stream;
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
      return outcome;
    }
    if (state.take(std::chrono::nanoseconds::zero()) || state.feed(read)) continue;
    if (state.window.empty()) return std::nullopt;
    state.wait();
  }
}

void RawResults::all_delivered() {
  if (!state_->handed_out.empty()) state_->stream->hand_over(std::exchange(state_->handed_out, {}));
}

}  // namespace dc::detail
