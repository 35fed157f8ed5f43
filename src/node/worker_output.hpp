// What one worker prints on its two streams, and where in it a job has ended: bytes in, lines with their stream out.
#pragma once

#include <array>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/job.hpp"
#include "node/output_lines.hpp"
#include "wire/output_mark.hpp"

namespace dc::node {

/// Lines of one stream, in the order in which they were read.
struct Printed {
  OutputStream stream{};
  std::vector<std::string> lines;
  std::uint64_t left_out = 0;  ///< so many more were printed
};

class WorkerOutput {
 public:
  /// `token` names the worker's marks. `only_errors`: lines are kept until it is known how their job ended.
  WorkerOutput(std::uint64_t token, bool only_errors);
  WorkerOutput(const WorkerOutput&) = delete;
  WorkerOutput& operator=(const WorkerOutput&) = delete;

  /// Bytes that were read. `room`: so many lines may be shown; it shrinks.
  void feed(OutputStream stream, std::string_view bytes, std::size_t& room);
  /// Nothing of a job runs now: what was printed without a newline is complete.
  void end_lines(std::size_t& room);
  /// The process has ended; `failed`: not as it was told to.
  void end(bool failed, std::size_t& room);

  /// What is to be shown since the last time.
  std::vector<Printed> take();
  /// The last lines of both streams, joined by newlines.
  [[nodiscard]] std::string tail() const;

 private:
  struct Stream {
    Stream(KeptLines& tail, KeptLines* keep) : lines(tail, keep) {}
    OutputLines lines;
    std::string torn;  ///< the first bytes of what may be a mark
  };
  Stream& of(OutputStream stream) { return streams_[static_cast<std::size_t>(stream)]; }
  KeptLines& kept_of(OutputStream stream) { return kept_[static_cast<std::size_t>(stream)]; }
  void text(OutputStream stream, std::string_view bytes, std::size_t& room);
  void job_ended(OutputStream stream, wire::JobEnd end, std::size_t& room);
  void release(OutputStream stream, std::size_t& room);
  OutputLines::Cut& into(OutputStream stream);
  /// Bytes of the mark at the start of `bytes`, as far as there are any; 0: it is none.
  [[nodiscard]] std::size_t mark_bytes(std::string_view bytes) const;

  const bool only_errors_;
  const wire::OutputMark mark_;
  KeptLines tail_{limits::output_tail_bytes_max};
  std::array<KeptLines, 2> kept_{KeptLines(limits::output_kept_bytes_max), KeptLines(limits::output_kept_bytes_max)};
  std::array<Stream, 2> streams_;
  struct Piece {
    OutputStream stream{};
    OutputLines::Cut cut;
  };
  std::vector<Piece> pieces_;
};

}  // namespace dc::node
