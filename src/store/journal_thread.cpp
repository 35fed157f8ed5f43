// See journal_thread.hpp. What is decided is decided by JournalMachine; here are the thread and the blocking calls.
#include "store/journal_thread.hpp"

#include <atomic>
#include <condition_variable>
#include <mutex>
#include <thread>

#include "core/log.hpp"

namespace dc::store {
namespace {

TimePoint now() { return std::chrono::steady_clock::now(); }

}  // namespace

struct JournalThread::Impl {
  Impl(std::unique_ptr<Store> given, Handler handlers)
      : store(std::move(given)), handler(std::move(handlers)), machine(handler.patience, now()) {
    thread = std::thread([this] { run(); });
  }

  void run();
  /// The lock is not held during the call.
  void make(StoreCall call, std::unique_lock<std::mutex>& lock);
  template <class Order>
  void tell(Order order) {
    const std::lock_guard lock(mutex);
    order(machine);
    changed.notify_one();
  }

  std::unique_ptr<Store> store;
  const Handler handler;
  std::atomic<bool> is_fenced{false};  ///< as the machine says; asked too often for the lock

  mutable std::mutex mutex;  ///< guards the machine
  std::condition_variable changed;
  JournalMachine machine;

  std::thread thread;
};

void JournalThread::Impl::run() {
  std::unique_lock lock(mutex);
  while (!machine.over(now())) {
    const TimePoint next = machine.next_at();
    if (now() < next) {
      changed.wait_until(lock, next);
      continue;
    }
    // After a freeze this comes before any write.
    lock.unlock();
    store->moved(Part::journal);
    lock.lock();
    if (auto call = machine.next(now())) make(std::move(*call), lock);
    is_fenced = machine.fenced();
    for (const std::string& warning : machine.take_warnings()) log::warning("{}", warning);
    if (!machine.take_news()) continue;
    lock.unlock();
    handler.wake();
    lock.lock();
  }
}

void JournalThread::Impl::make(StoreCall call, std::unique_lock<std::mutex>& lock) {
  lock.unlock();
  const StoreAnswer answer = make_call(*store, call);
  lock.lock();
  machine.ended(std::move(call), answer, now());
}

JournalThread::JournalThread(std::unique_ptr<Store> store, Handler handler)
    : impl_(std::make_unique<Impl>(std::move(store), std::move(handler))) {}

JournalThread::~JournalThread() {
  impl_->tell([](JournalMachine& machine) { machine.close(now() + limits::store_close_patience); });
  impl_->thread.join();
  impl_->store->release();  // here, since others ask it until then
}

void JournalThread::write(Ticket ticket, LogId log, EntryNumber number, Entry entry, std::vector<EntryNumber> erased,
                          bool refusable) {
  impl_->tell([&](JournalMachine& machine) {
    machine.write(ticket, log, number, std::move(entry), std::move(erased), refusable);
  });
}

void JournalThread::remove(Ticket ticket, LogId log) {
  impl_->tell([&](JournalMachine& machine) { machine.remove(ticket, log); });
}

void JournalThread::load(Ticket ticket, std::vector<Payload> payloads) {
  impl_->tell([&](JournalMachine& machine) { machine.load(ticket, std::move(payloads)); });
}

void JournalThread::run(Ticket ticket, std::function<Result<void>(Store&)> work) {
  impl_->tell([&](JournalMachine& machine) { machine.run(ticket, std::move(work)); });
}

std::vector<Journaled> JournalThread::take_done() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->machine.take_done();
}

std::vector<Loaded> JournalThread::take_loaded() {
  const std::lock_guard lock(impl_->mutex);
  return impl_->machine.take_loaded();
}

std::string JournalThread::trouble() const {
  if (impl_->store->hold() == Hold::lost) {
    if (const Result<void> well = impl_->store->check_hold(); !well) return well.error().message;
  }
  const std::lock_guard lock(impl_->mutex);
  return impl_->machine.trouble();
}

Hold JournalThread::hold() const { return impl_->is_fenced ? Hold::lost : impl_->store->hold(); }

void JournalThread::loop_moved() { impl_->store->moved(Part::loop); }

void JournalThread::raise_term(std::uint64_t above) {
  impl_->tell([&](JournalMachine& machine) { machine.raise_term(above); });
}

std::uint64_t JournalThread::raised_term() const {
  const std::lock_guard lock(impl_->mutex);
  return impl_->machine.raised_term();
}

}  // namespace dc::store
