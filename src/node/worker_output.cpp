// See worker_output.hpp.
#include "node/worker_output.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>

#include <algorithm>
#include <utility>

#include "core/unshown_lines.hpp"

namespace dc::node {
namespace {

constexpr std::array both_streams{OutputStream::out, OutputStream::err};

}  // namespace

WorkerOutput::WorkerOutput(std::uint64_t token, bool only_errors)
    : only_errors_(only_errors),
      mark_(wire::output_mark(token, wire::JobEnd::well)),
      streams_{Stream(tail_, only_errors ? &kept_[0] : nullptr), Stream(tail_, only_errors ? &kept_[1] : nullptr)} {}

/// Where what was read last is to be put.
OutputLines::Cut& WorkerOutput::into(OutputStream stream) {
  if (pieces_.empty() || pieces_.back().stream != stream) pieces_.push_back({stream, {}});
  return pieces_.back().cut;
}

std::size_t WorkerOutput::mark_bytes(std::string_view bytes) const {
  const std::size_t fixed = mark_.size() - 1;
  const std::size_t size = std::min(bytes.size(), fixed);
  if (bytes.substr(0, size) != std::string_view(mark_.data(), size)) return 0;
  return std::min(bytes.size(), mark_.size());
}

void WorkerOutput::feed(OutputStream stream, std::string_view bytes, std::size_t& room) {
  std::string joined;  // rarely: a read ended in the middle of a mark
  if (std::string& torn = of(stream).torn; !torn.empty()) {
    joined = std::exchange(torn, {}).append(bytes);
    bytes = joined;
  }
  std::size_t from = 0;
  while (true) {
    const std::size_t zero = bytes.find('\0', from);
    if (zero == bytes.npos) return text(stream, bytes, room);
    const std::size_t size = mark_bytes(bytes.substr(zero));
    if (size == 0) {
      from = zero + 1;
      continue;
    }
    text(stream, bytes.substr(0, zero), room);
    bytes.remove_prefix(zero);
    from = 0;
    if (size < mark_.size()) {
      of(stream).torn = bytes;
      return;
    }
    job_ended(stream, static_cast<wire::JobEnd>(bytes[size - 1]), room);
    bytes.remove_prefix(size);
  }
}

void WorkerOutput::text(OutputStream stream, std::string_view bytes, std::size_t& room) {
  if (bytes.empty()) return;
  if (!only_errors_) return of(stream).lines.feed(bytes, room, into(stream));
  std::size_t none = 0;
  OutputLines::Cut nothing;
  of(stream).lines.feed(bytes, none, nothing);
}

void WorkerOutput::end_lines(std::size_t& room) {
  for (const OutputStream stream : both_streams) {
    std::size_t none = 0;
    OutputLines::Cut nothing;
    of(stream).lines.end_line(only_errors_ ? none : room, only_errors_ ? nothing : into(stream));
  }
}

void WorkerOutput::job_ended(OutputStream stream, wire::JobEnd end, std::size_t& room) {
  std::size_t none = 0;
  OutputLines::Cut nothing;
  of(stream).lines.end_line(only_errors_ ? none : room, only_errors_ ? nothing : into(stream));
  if (only_errors_ && end == wire::JobEnd::failed) release(stream, room);
  kept_of(stream).clear();
}

/// What is kept is to be shown: the last of it, with a word of what was before.
void WorkerOutput::release(OutputStream stream, std::size_t& room) {
  KeptLines& kept = kept_of(stream);
  if (kept.count() == 0) return;
  OutputLines::Cut& cut = into(stream);
  auto lines = kept.last(room);
  const std::uint64_t missing = kept.count() - lines.size();
  room -= lines.size();
  if (lines.empty()) {
    cut.left_out += missing;
  } else if (missing > 0) {
    cut.lines.push_back(fmt::format("… {} earlier lines of this job are not shown", with_commas(missing)));
  }
  std::move(lines.begin(), lines.end(), std::back_inserter(cut.lines));
}

void WorkerOutput::end(bool failed, std::size_t& room) {
  for (const OutputStream stream : both_streams) {
    text(stream, std::exchange(of(stream).torn, {}), room);
    job_ended(stream, failed ? wire::JobEnd::failed : wire::JobEnd::well, room);
  }
}

std::vector<Printed> WorkerOutput::take() {
  std::vector<Printed> all;
  for (Piece& piece : std::exchange(pieces_, {})) {
    if (piece.cut.lines.empty() && piece.cut.left_out == 0) continue;
    all.push_back({piece.stream, std::move(piece.cut.lines), piece.cut.left_out});
  }
  return all;
}

std::string WorkerOutput::tail() const {
  return fmt::format("{}", fmt::join(tail_.last(limits::output_tail_lines), "\n"));
}

}  // namespace dc::node
