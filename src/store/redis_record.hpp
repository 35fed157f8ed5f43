// How entries of one log that were appended together stand in its stream: as one record.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/redis_connection.hpp"

namespace dc::store {

/// An entry with the hashes of its attachments in their places.
struct HashedEntry {
  std::string_view bytes;
  std::vector<std::string> hashes;
};

struct RedisRecord {
  std::string id;           ///< in the stream: "term-counter"
  std::uint64_t first = 0;  ///< number of its first entry; a log counts from 0 without gaps
  std::vector<HashedEntry> entries;
  RedisReply source;     ///< holds the bytes
  bool damaged = false;  ///< nothing but the id is certain
};

/// The fields of XADD: number of the first entry, count, checksum, data.
std::vector<std::string> encode_record(std::uint64_t first, const std::vector<HashedEntry>& entries);

/// The bytes of the first entry in the last of those fields; none: it is damaged.
std::optional<std::string> first_entry_of(std::string_view data);

/// From an element of the answer to XRANGE.
RedisRecord decode_record(const RedisReply& element);

}  // namespace dc::store
