// See outbox.hpp.
#include "worker/outbox.hpp"

#include <unistd.h>

#include <cstdio>
#include <exception>

#include "worker/forked.hpp"

namespace dc::worker {
namespace {

constexpr std::size_t flush_bytes = std::size_t{32} << 10;
constexpr auto flush_delay = std::chrono::microseconds(500);

}  // namespace

Outbox::Outbox(int socket) : socket_(socket), flusher_([this] { flush_in_background(); }) {}

Outbox::~Outbox() {
  {
    const std::lock_guard lock(mutex_);
    stop_ = true;
  }
  wake_.notify_one();
  flusher_.join();
}

void Outbox::append(const wire::FromWorker& message) {
  if (forked()) ::_exit(1);  // it has no say, and the mutex may never be free there
  const std::lock_guard lock(mutex_);
  wire::append(packets_, message);
  if (packets_.size() > 1 || packets_.back().text.size() > flush_bytes || !packets_.back().large.empty()) send_locked();
}

void Outbox::flush() {
  if (forked()) ::_exit(1);
  const std::lock_guard lock(mutex_);
  send_locked();
}

void Outbox::flush_soon() {
  {
    const std::lock_guard lock(mutex_);
    if (packets_.empty() || armed_) return;
    armed_ = true;
  }
  wake_.notify_one();
}

void Outbox::send_locked() {
  for (wire::Packet& packet : packets_) {
    if (wire::send_packet(socket_, packet, true) == wire::SocketResult::closed) ::_exit(1);
  }
  packets_.clear();
}

void Outbox::flush_in_background() {
  std::unique_lock lock(mutex_);
  while (!stop_) {
    wake_.wait(lock, [this] { return armed_ || stop_; });
    wake_.wait_for(lock, flush_delay, [this] { return stop_; });
    try {
      send_locked();
    } catch (const std::exception& error) {
      // The user's code has closed the channel, or put something else in its place: no result can be told any more.
      std::fprintf(stderr, "distributed-computing worker: %s\n", error.what());
      ::_exit(1);
    }
    armed_ = false;
  }
}

}  // namespace dc::worker
