// The event loop on asio::io_context.
#include "net/event_loop.hpp"

#include <array>
#include <utility>

#include "core/check.hpp"
#include "net/event_loop_impl.hpp"

namespace dc::net {
namespace {

// The objects below are handed out as unique_ptr, but their pending operations outlive them by one turn of the loop.
// Hence a shared state, with `alive` as the last word on whether the caller may still be called.

class AsioTimer final : public Timer {
 public:
  AsioTimer(asio::io_context& context, TimePoint when, Callback call)
      : state_(std::make_shared<State>(context, std::move(call))) {
    if (when == never) return;
    state_->timer.expires_at(when);
    state_->timer.async_wait([state = state_](ErrorNumber error) {
      if (error || !state->call) return;
      // Taken out first: the call may destroy this timer.
      Callback call = std::exchange(state->call, {});
      call();
    });
  }
  ~AsioTimer() override {
    state_->call = {};
    state_->timer.cancel();
  }

 private:
  struct State {
    State(asio::io_context& context, Callback callback) : timer(context.get_executor()), call(std::move(callback)) {}
    SteadyTimer timer;
    Callback call;
  };
  std::shared_ptr<State> state_;
};

class AsioFdWatch final : public FdWatch {
 public:
  AsioFdWatch(asio::io_context& context, int fd, Callback on_readable, Callback on_writable)
      : state_(std::make_shared<State>(context, fd, std::move(on_readable), std::move(on_writable))) {
    ErrorNumber ignored;
    state_->descriptor.non_blocking(true, ignored);
    state_->wait(Side::read);
  }
  ~AsioFdWatch() override {
    state_->alive = false;
    state_->descriptor.release();  // the descriptor is the caller's to close
  }
  void want_write(bool wanted) override { state_->want(Side::write, wanted); }
  void want_read(bool wanted) override { state_->want(Side::read, wanted); }

 private:
  enum class Side : std::size_t { read = 0, write = 1 };
  struct Interest {
    Callback call;
    bool wanted = false;
    bool waiting = false;  // an asynchronous wait is under way
  };

  struct State : std::enable_shared_from_this<State> {
    State(asio::io_context& context, int fd, Callback on_readable, Callback on_writable)
        : descriptor(context.get_executor(), fd) {
      interests[0] = {std::move(on_readable), true, false};
      interests[1] = {std::move(on_writable), false, false};
    }

    void want(Side side, bool wanted) {
      interests[static_cast<std::size_t>(side)].wanted = wanted;
      if (wanted) wait(side);
    }

    void wait(Side side) {
      Interest& interest = interests[static_cast<std::size_t>(side)];
      if (interest.waiting || !interest.wanted || !interest.call) return;
      interest.waiting = true;
      const auto type =
          side == Side::read ? asio::posix::descriptor_base::wait_read : asio::posix::descriptor_base::wait_write;
      descriptor.async_wait(type, [self = shared_from_this(), side](ErrorNumber error) { self->ready(side, error); });
    }

    void ready(Side side, ErrorNumber error) {
      Interest& interest = interests[static_cast<std::size_t>(side)];
      interest.waiting = false;
      if (!alive || error) return;
      if (interest.wanted) interest.call();
      if (alive) wait(side);
    }

    asio::posix::basic_stream_descriptor<Executor> descriptor;
    std::array<Interest, 2> interests;
    bool alive = true;
  };
  std::shared_ptr<State> state_;
};

class AsioSignalWatch final : public EventLoop::SignalWatch {
 public:
  AsioSignalWatch(asio::io_context& context, const std::vector<int>& signals, std::function<void(int)> on_signal)
      : state_(std::make_shared<State>(context, std::move(on_signal))) {
    for (const int signal : signals) state_->signals.add(signal);
    state_->wait();
  }
  ~AsioSignalWatch() override {
    state_->alive = false;
    ErrorNumber ignored;
    state_->signals.clear(ignored);  // gives the signals their default meaning back
    state_->signals.cancel(ignored);
  }

 private:
  struct State : std::enable_shared_from_this<State> {
    State(asio::io_context& context, std::function<void(int)> callback)
        : signals(context.get_executor()), on_signal(std::move(callback)) {}
    void wait() {
      signals.async_wait([self = shared_from_this()](ErrorNumber error, int signal) {
        if (error || !self->alive) return;
        self->on_signal(signal);
        if (self->alive) self->wait();
      });
    }
    asio::basic_signal_set<Executor> signals;
    std::function<void(int)> on_signal;
    bool alive = true;
  };
  std::shared_ptr<State> state_;
};

}  // namespace

void EventLoop::Impl::run_posted() {
  std::vector<Callback> calls;
  {
    const std::lock_guard lock(posted_mutex);
    calls.swap(posted);
  }
  for (Callback& call : calls) call();
}

void EventLoop::Impl::run_turn_end() {
  std::vector<Callback> calls;
  calls.swap(turn_end);
  for (Callback& call : calls) call();
  if (!turn_end.empty()) return;  // another turn end is on its way
  calls.clear();
  turn_end.swap(calls);  // keeps the memory for the next turn
}

EventLoop::EventLoop() : impl_(std::make_unique<Impl>()) {
  impl_->gate = std::make_shared<Impl::Gate>();
  impl_->gate->loop = this;
}

EventLoop::~EventLoop() {
  {
    const std::lock_guard lock(impl_->gate->mutex);
    impl_->gate->loop = nullptr;
  }
  // Callbacks may hold objects that refer to the loop: they go before it does.
  impl_->turn_end.clear();
  impl_->posted.clear();
}

void EventLoop::run() {
  const auto keep_running = asio::make_work_guard(impl_->context);
  impl_->context.restart();
  impl_->context.run();
}

// Posted rather than stopped at once, so that a stop() before run() is not forgotten.
void EventLoop::stop() {
  post([this] { impl_->context.stop(); });
}

void EventLoop::post(Callback call) {
  bool first = false;
  {
    const std::lock_guard lock(impl_->posted_mutex);
    first = impl_->posted.empty();
    impl_->posted.push_back(std::move(call));
  }
  if (first) asio::post(impl_->context, [impl = impl_.get()] { impl->run_posted(); });
}

std::function<void(Callback)> EventLoop::poster() {
  return [gate = impl_->gate](Callback call) {
    const std::lock_guard lock(gate->mutex);
    if (gate->loop) gate->loop->post(std::move(call));
  };
}

// The turn end is a handler behind all that are ready now. From inside a handler Asio queues it without a lock or a
// system call.
void EventLoop::at_turn_end(Callback call) {
  impl_->turn_end.push_back(std::move(call));
  if (impl_->turn_end.size() == 1) asio::post(impl_->context, [impl = impl_.get()] { impl->run_turn_end(); });
}

TimePoint EventLoop::now() { return std::chrono::steady_clock::now(); }

std::unique_ptr<Timer> EventLoop::call_at(TimePoint when, Callback call) {
  return std::make_unique<AsioTimer>(impl_->context, when, std::move(call));
}

std::unique_ptr<FdWatch> EventLoop::watch(int fd, Callback on_readable, Callback on_writable) {
  DC_CHECK(fd >= 0);
  return std::make_unique<AsioFdWatch>(impl_->context, fd, std::move(on_readable), std::move(on_writable));
}

std::unique_ptr<EventLoop::SignalWatch> EventLoop::on_signals(std::vector<int> signals,
                                                              std::function<void(int)> on_signal) {
  return std::make_unique<AsioSignalWatch>(impl_->context, signals, std::move(on_signal));
}

}  // namespace dc::net
