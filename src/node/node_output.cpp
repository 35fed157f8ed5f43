// See node_output.hpp.
#include "node/node_output.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include "core/output.hpp"
#include "net/session.hpp"

namespace dc::node {

WorkerLink::Output NodeOutput::of_worker(PoolId pool, ForwardOutput forward) {
  std::erase_if(paces_, [](const auto& entry) { return entry.second.expired(); });
  auto pace = paces_[pool].lock();
  if (!pace) {
    pace = std::make_shared<TextPace>(limits::output_lines_per_second, limits::output_lines_per_second);
    paces_[pool] = pace;
  }
  return {net::random_id(), forward == ForwardOutput::errors, std::move(pace)};
}

std::string NodeOutput::prefix(std::uint32_t slot) const { return fmt::format("[{}/{}] ", host_, slot); }

void NodeOutput::show(std::uint32_t slot, const std::vector<Printed>& printed) {
  if (!show_) return;
  for (const Printed& part : printed) {
    if (!part.lines.empty()) output::show_lines(STDOUT_FILENO, prefix(slot), part.lines);
    if (part.left_out > 0) unshown_.add({host_, slot, OutputStream::out}, part.left_out);
  }
  if (unshown_.empty() || timer_) return;
  timer_ = loop_.call_at(net::EventLoop::now() + limits::unshown_told_interval, [this] {
    timer_.reset();
    tell_unshown();
  });
}

void NodeOutput::tell_unshown() {
  for (const auto& [place, count] : unshown_.take())
    output::show_lines(STDOUT_FILENO, prefix(place.slot), {unshown_text(count)});
}

}  // namespace dc::node
