// How an entry stands in the hash of its log, and how entries stood in the streams of formats 1 and 2.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "store/redis_connection.hpp"
#include "store/store.hpp"

namespace dc::store {

/// An entry with the hashes of its attachments in their places.
struct HashedEntry {
  std::string_view bytes;
  std::vector<std::string> hashes;
};

/// As it is read.
struct RedisRecord {
  EntryNumber number{};
  std::optional<HashedEntry> entry;  ///< none: it is damaged
  RedisReply source;                 ///< holds the bytes
};

/// The value of the field `number`.
std::string encode_entry(EntryNumber number, const HashedEntry& entry);
/// Of that value. None: it is damaged, or belongs under another number.
std::optional<HashedEntry> decode_entry(EntryNumber number, std::string_view value);
/// The bytes of an entry, without a look whether it is whole.
std::optional<std::string> bytes_of_entry(std::string_view value);

/// Hashes as one text, and back.
std::string join_hashes(const std::vector<std::string>& hashes);
std::vector<std::string> split_hashes(std::string_view text);

/// Entries of one log that were appended together, as one record of its stream.
struct StreamRecord {
  std::string id;           ///< in the stream: "term-counter"
  std::uint64_t first = 0;  ///< number of its first entry; a log counted from 0 without gaps
  std::vector<HashedEntry> entries;
  bool damaged = false;  ///< nothing but the id is certain
};
/// From an element of the answer to XRANGE, which holds the bytes.
StreamRecord decode_stream_record(const RedisReply& element);
/// The bytes of the first entry in the data of such a record; none: it is damaged.
std::optional<std::string> first_entry_of(std::string_view data);

}  // namespace dc::store
