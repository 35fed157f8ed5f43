// One connection to a Redis or Valkey server: commands out, answers back. hiredis writes and reads the bytes, over a
// stream of ours.
#pragma once

#include <hiredis/hiredis.h>

#include <functional>
#include <memory>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/byte_stream.hpp"
#include "store/redis_address.hpp"

namespace dc::store {

using RedisCommand = std::vector<std::string>;

/// An answer, or a part of one.
class RedisReply {
 public:
  explicit RedisReply(std::shared_ptr<const redisReply> reply) : reply_(std::move(reply)) {}

  [[nodiscard]] bool is_error() const { return reply_->type == REDIS_REPLY_ERROR; }
  [[nodiscard]] bool is_nil() const { return reply_->type == REDIS_REPLY_NIL; }
  [[nodiscard]] bool is_array() const { return reply_->type == REDIS_REPLY_ARRAY; }
  /// Of a string, a status or an error; empty for others.
  [[nodiscard]] std::string_view text() const {
    return reply_->str ? std::string_view(reply_->str, reply_->len) : std::string_view();
  }
  /// Of an integer, or of a string that is one; 0 for others.
  [[nodiscard]] std::int64_t integer() const;
  [[nodiscard]] std::size_t size() const { return is_array() ? reply_->elements : 0; }
  [[nodiscard]] RedisReply operator[](std::size_t index) const { return RedisReply({reply_, reply_->element[index]}); }

 private:
  std::shared_ptr<const redisReply> reply_;  // shared, so that a part keeps the whole
};

class RedisConnection {
 public:
  /// Connects, proves the password and selects the database. `rejected`: it does not take the password.
  static Result<std::unique_ptr<RedisConnection>> open(const RedisAddress& address, const DialTls& dial_tls);

  /// Sends all in one go and reads an answer to each; errors of the server are answers here. After a failure
  /// (`unreachable`) the connection is of no use, and the commands may have been carried out or not.
  Result<std::vector<RedisReply>> ask(std::span<const RedisCommand> commands);
  /// Called whenever bytes went either way.
  void on_progress(std::function<void()> call) { on_progress_ = std::move(call); }

 private:
  struct FreeReader {
    void operator()(redisReader* reader) const { redisReaderFree(reader); }
  };
  RedisConnection(const RedisAddress& address, std::unique_ptr<ByteStream> stream);
  Result<void> log_in(const RedisAddress& address);
  Result<void> flush();
  Result<RedisReply> read_reply();
  [[nodiscard]] Error broken(const std::string& why) const;

  void progressed() const {
    if (on_progress_) on_progress_();
  }

  std::string name_;
  std::function<void()> on_progress_;
  std::unique_ptr<ByteStream> stream_;
  std::unique_ptr<redisReader, FreeReader> reader_;
  std::string buffered_;      ///< not yet written
  std::vector<char> buffer_;  ///< for reading
};

/// Whether an error of the server says that it only reads: it is a replica, perhaps since a moment.
bool is_of_replica(std::string_view text);

/// What an error of the server ("OOM command not allowed …") means for us, as a sentence.
Error redis_error(const std::string& name, std::string_view text);

}  // namespace dc::store
