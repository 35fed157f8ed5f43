// The keys of heads that were seen before, as ssh keeps its known hosts: one line each, "HOST:PORT FINGERPRINT".
#pragma once

#include <cstddef>
#include <cstdint>
#include <string>
#include <string_view>
#include <vector>

#include "core/result.hpp"

namespace dc::net {

/// One name for all that surely mean the same head: without regard to case and a final dot, numbers as they are usually
/// written, and "localhost" for 127.0.0.1, ::1 and the "any" addresses. Other names of one machine are not known to be
/// that: only a name service could tell, and it is not to be believed here. "host:port".
std::string same_head_name(std::string_view host, std::uint16_t port);

/// What the file held when it was read. Looks at the disk only in read() and remember_head(), so that nothing on the
/// way of a session waits for a file system.
class KnownHeads {
 public:
  struct Entry {
    std::string name;  ///< as it stands in the file
    std::string fingerprint;
    std::size_t line{};
  };
  /// A file that is missing knows no head. Fails when it cannot be read, or when a line is damaged: taking a head for a
  /// new one then would make its key worthless.
  static Result<KnownHeads> read(const std::string& file);

  /// The line for this head, or nullptr when it is new. The first one with just this name counts, else the first one
  /// that means the same head.
  [[nodiscard]] const Entry* find(std::string_view host, std::uint16_t port) const;
  void add(std::string_view host, std::uint16_t port, const std::string& fingerprint);

 private:
  std::vector<Entry> entries_;
};

/// Adds a line to the file, whole or not at all. The file and its directory are made as needed, for this user alone.
Result<void> remember_head(const std::string& file, std::string_view host, std::uint16_t port,
                           const std::string& fingerprint);

}  // namespace dc::net
