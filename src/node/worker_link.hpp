// A running worker process on the event loop: packets queue up and go out, messages, lines and finally its end come in.
#pragma once

#include <deque>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/text_pace.hpp"
#include "node/worker_exit.hpp"
#include "node/worker_output.hpp"
#include "node/worker_process.hpp"
#include "net/event_loop.hpp"
#include "wire/packet.hpp"

namespace dc::node {

class WorkerLink {
 public:
  /// None of these may destroy the link while it is being called.
  struct Handler {
    std::function<void(std::vector<wire::FromWorker>&&)> on_messages;
    std::function<void(std::vector<Printed>&&)> on_printed;
    std::function<void()> on_hang_up;            ///< it closed its end of the socket
    std::function<void(std::string)> on_broken;  ///< the socket cannot be used; the argument says why
    std::function<bool()> ended_well;            ///< now that it has ended: as it was asked to? Not set: no
    /// The process is gone and reaped; everything that it sent and printed has been handed in. The last call.
    std::function<void(const ProcessEnd&)> on_end;
  };
  struct Output {
    std::uint64_t token = 0;
    bool only_errors = false;  ///< see WorkerOutput
    /// Of the pool's lines: shared by its workers here. None: all lines are shown.
    std::shared_ptr<TextPace> pace = nullptr;
  };
  WorkerLink(net::EventLoop& loop, std::unique_ptr<WorkerProcess> process, Handler handler, Output output);

  /// Messages of one turn share packets: send() at its end.
  void queue(wire::ToWorker&& message);
  void send();
  [[nodiscard]] bool has_unsent() const { return !filling_.empty() || !backlog_.empty(); }
  /// No job is in its hands: what it printed without a newline is complete.
  void end_lines();
  void signal_group(int signal) const { process_->signal_group(signal); }
  [[nodiscard]] const WorkerProcess& process() const { return *process_; }

 private:
  struct Outgoing {
    wire::Packet packet;
    UpdateNumber update = 0;  ///< the latest update in this packet and those before it
  };
  void encode(const wire::ToWorker& message);
  bool fill();
  void read_socket();
  void read_output(OutputStream stream);
  std::size_t read_stream(OutputStream stream, bool& at_end);
  void read_before_results(const std::vector<wire::FromWorker>& messages);
  void take_in(const std::function<void(std::size_t& room)>& take);
  void tell_printed();
  void go_on_reading();
  wire::SocketResult receive(int packets);
  void end();
  void broken(std::string why);

  net::EventLoop& loop_;
  std::unique_ptr<WorkerProcess> process_;
  Handler handler_;
  wire::PacketReader<wire::FromWorker> reader_;
  std::vector<wire::Packet> filling_;
  UpdateNumber filling_update_ = 0;
  std::deque<Outgoing> outgoing_;
  std::deque<wire::ToWorker> backlog_;  ///< not encoded yet: a long history would be there once for each worker
  const std::shared_ptr<TextPace> pace_;
  WorkerOutput output_;
  bool output_paused_ = false, errors_paused_ = false;
  TimePoint printed_told_at_{};
  bool usable_ = true;  ///< the socket
  bool blocked_ = false;
  std::unique_ptr<net::Timer> output_pause_;
  std::unique_ptr<net::FdWatch> socket_watch_, output_watch_, errors_watch_, end_watch_;  // last: they go first
};

}  // namespace dc::node
