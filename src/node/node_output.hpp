// What a node does with the lines of its workers: so many a second of each pool, some of them on its own stdout.
#pragma once

#include <cstdint>
#include <map>
#include <memory>
#include <string>
#include <vector>

#include "core/text_pace.hpp"
#include "core/unshown_lines.hpp"
#include "net/event_loop.hpp"
#include "node/worker_link.hpp"
#include "node/worker_output.hpp"

namespace dc::node {

class NodeOutput {
 public:
  /// `show`: on this process's stdout, each line with host and slot.
  NodeOutput(net::EventLoop& loop, std::string host, bool show) : loop_(loop), host_(std::move(host)), show_(show) {}
  ~NodeOutput() { tell_unshown(); }
  NodeOutput(const NodeOutput&) = delete;
  NodeOutput& operator=(const NodeOutput&) = delete;

  /// For a worker of the pool that is to be born.
  WorkerLink::Output of_worker(PoolId pool, ForwardOutput forward);
  void show(std::uint32_t slot, const std::vector<Printed>& printed);

 private:
  [[nodiscard]] std::string prefix(std::uint32_t slot) const;
  void tell_unshown();

  net::EventLoop& loop_;
  const std::string host_;
  const bool show_;
  std::map<PoolId, std::weak_ptr<TextPace>> paces_;  ///< the workers have them
  UnshownLines unshown_;
  std::unique_ptr<net::Timer> timer_;
};

}  // namespace dc::node
