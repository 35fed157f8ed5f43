// See redis_record.hpp. The value of an entry is a checksum (16 hexadecimal digits) and data: the size of its bytes and
// the count of its hashes (four bytes each, little endian), the bytes, and the hashes. A record of a stream had the
// fields number of the first entry, count, checksum and data: the same for each entry in turn.
#include "store/redis_record.hpp"

#include <fmt/format.h>

#include "store/checksum.hpp"

namespace dc::store {
namespace {

constexpr std::size_t hash_bytes = 64;
constexpr std::size_t number_bytes = 4;
constexpr std::size_t sum_digits = 16;

void put_number(std::string& data, std::size_t number) {
  for (std::size_t i = 0; i < number_bytes; ++i) data.push_back(static_cast<char>(number >> (8 * i)));
}

/// Takes a number from the front of `data`.
std::optional<std::size_t> take_number(std::string_view& data) {
  if (data.size() < number_bytes) return std::nullopt;
  std::size_t number = 0;
  for (std::size_t i = 0; i < number_bytes; ++i) {
    number |= static_cast<std::size_t>(static_cast<unsigned char>(data[i])) << (8 * i);
  }
  data.remove_prefix(number_bytes);
  return number;
}

std::optional<HashedEntry> take_entry(std::string_view& data) {
  const auto size = take_number(data);
  const auto count = take_number(data);
  if (!size || !count || data.size() < *size + *count * hash_bytes) return std::nullopt;
  HashedEntry entry{data.substr(0, *size), {}};
  data.remove_prefix(*size);
  for (std::size_t i = 0; i < *count; ++i) {
    entry.hashes.emplace_back(data.substr(0, hash_bytes));
    data.remove_prefix(hash_bytes);
  }
  return entry;
}

std::string stream_sum_of(std::string_view first, std::string_view count, std::string_view data) {
  return fmt::format("{:016x}", checksum(data) ^ checksum(fmt::format("{} {}", first, count)));
}

/// With the number, so that an entry does not count under another one.
std::string sum_of(EntryNumber number, std::string_view data) {
  return fmt::format("{:016x}", checksum(data) ^ checksum(std::to_string(number)));
}

}  // namespace

std::string encode_entry(EntryNumber number, const HashedEntry& entry) {
  std::string data;
  put_number(data, entry.bytes.size());
  put_number(data, entry.hashes.size());
  data += entry.bytes;
  for (const std::string& hash : entry.hashes) data += hash;
  return sum_of(number, data) + data;
}

std::optional<HashedEntry> decode_entry(EntryNumber number, std::string_view value) {
  if (value.size() < sum_digits) return std::nullopt;
  std::string_view data = value.substr(sum_digits);
  if (value.substr(0, sum_digits) != sum_of(number, data)) return std::nullopt;
  std::optional<HashedEntry> entry = take_entry(data);
  return data.empty() ? entry : std::nullopt;
}

std::optional<std::string> bytes_of_entry(std::string_view value) {
  return value.size() < sum_digits ? std::nullopt : first_entry_of(value.substr(sum_digits));
}

std::string join_hashes(const std::vector<std::string>& hashes) {
  std::string text;
  for (const std::string& hash : hashes) text += hash;
  return text;
}

std::vector<std::string> split_hashes(std::string_view text) {
  std::vector<std::string> hashes;
  for (; text.size() >= hash_bytes; text.remove_prefix(hash_bytes)) hashes.emplace_back(text.substr(0, hash_bytes));
  return hashes;
}

std::optional<std::string> first_entry_of(std::string_view data) {
  const std::optional<HashedEntry> entry = take_entry(data);
  return entry ? std::optional<std::string>(entry->bytes) : std::nullopt;
}

StreamRecord decode_stream_record(const RedisReply& element) {
  constexpr std::size_t fields_count = 8;
  StreamRecord record{element.size() > 0 ? std::string(element[0].text()) : "", 0, {}, true};
  if (element.size() != 2 || element[1].size() != fields_count) return record;
  const RedisReply fields = element[1];
  std::string_view data = fields[7].text();
  if (fields[5].text() != stream_sum_of(fields[1].text(), fields[3].text(), data)) return record;
  record.first = static_cast<std::uint64_t>(fields[1].integer());
  for (std::int64_t left = fields[3].integer(); left > 0; --left) {
    std::optional<HashedEntry> entry = take_entry(data);
    if (!entry) return record;
    record.entries.push_back(std::move(*entry));
  }
  record.damaged = !data.empty();
  return record;
}

}  // namespace dc::store
