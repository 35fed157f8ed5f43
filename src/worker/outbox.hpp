// Answers on their way to the node. They are sent together when the worker has nothing to do, when there are many, and
// half a millisecond after the first when a job runs meanwhile: no system call per job, and no answer waits for a long
// job.
#pragma once

#include <chrono>
#include <condition_variable>
#include <mutex>
#include <thread>
#include <vector>

#include "wire/packet.hpp"

namespace dc::worker {

class Outbox {
 public:
  explicit Outbox(int socket);
  ~Outbox();
  Outbox(const Outbox&) = delete;
  Outbox& operator=(const Outbox&) = delete;

  void append(const wire::FromWorker& message);
  /// Sends everything now. Ends the process when the node is gone.
  void flush();
  /// A job is about to run: what is queued shall not wait for it.
  void flush_soon();

 private:
  void send_locked();
  void flush_in_background();

  int socket_;
  std::mutex mutex_;
  std::condition_variable wake_;
  std::vector<wire::Packet> packets_;
  bool armed_ = false;  ///< the background thread will flush
  bool stop_ = false;
  std::thread flusher_;
};

}  // namespace dc::worker
