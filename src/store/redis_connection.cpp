// See redis_connection.hpp.
#include "store/redis_connection.hpp"

#include <fmt/format.h>

#include <charconv>

#include "core/limits.hpp"
#include "store/socket_stream.hpp"

namespace dc::store {
namespace {

constexpr std::size_t read_bytes = std::size_t{64} << 10;
constexpr std::size_t write_bytes = std::size_t{1} << 20;

Result<std::unique_ptr<ByteStream>> dial(const RedisAddress& address, const DialTls& dial_tls) {
  if (!address.unix_path.empty()) {
    return dial_unix(address.unix_path, limits::store_call_timeout, address.of_same_user);
  }
  if (!address.tls) return dial_tcp(address.host, address.port, limits::store_call_timeout);
  return dial_tls({.host = address.host,
                   .port = address.port,
                   .timeout = limits::store_call_timeout,
                   .ca_file = address.ca_file,
                   .insecure = address.insecure});
}

bool has(std::string_view text, std::string_view part) { return text.find(part) != text.npos; }

}  // namespace

bool is_of_replica(std::string_view text) { return has(text, "READONLY"); }  // EXEC gives it as a reason

Error redis_error(const std::string& name, std::string_view text) {
  const std::string_view code = text.substr(0, text.find(' '));
  if (code == "OOM" || has(text, "No space left")) {
    return fail(ErrorCode::full, fmt::format("{} is full ({}): give it more room (maxmemory, its disk), or finish some "
                                             "named pools",
                                             name, text));
  }
  if (code == "MISCONF") {
    return fail(ErrorCode::full, fmt::format("{} cannot write to its disk ({}): is there room on it?", name, text));
  }
  if (is_of_replica(text)) {
    return fail(ErrorCode::unreachable,
                fmt::format("{} is a replica, which only reads: name its primary with --store, or an address that "
                            "leads to the primary whichever server that is",
                            name));
  }
  if (code == "LOADING" || code == "BUSY" || code == "MASTERDOWN" || code == "CLUSTERDOWN" || code == "TRYAGAIN") {
    return fail(ErrorCode::unreachable, fmt::format("{} is not ready ({}): it is tried again", name, text));
  }
  if (code == "WRONGPASS" || code == "NOAUTH" || has(text, "invalid password") || has(text, "AUTH")) {
    return fail(ErrorCode::rejected,
                fmt::format("{} does not take this user and password ({}): name them in the URL, as in "
                            "redis://user:password@host",
                            name, text));
  }
  if (code == "NOPERM") {
    return fail(ErrorCode::rejected,
                fmt::format("{} does not allow this user what is needed ({}): give it all commands "
                            "on its keys",
                            name, text));
  }
  if (code == "MOVED" || code == "ASK" || code == "CROSSSLOT") {
    return fail(ErrorCode::io, fmt::format("{} is part of a Redis Cluster ({}), which is not supported: name a Redis "
                                           "that holds all keys",
                                           name, text));
  }
  if (code == "WRONGTYPE") {
    return fail(ErrorCode::protocol, fmt::format("{} holds keys of another program under our names ({}): name another "
                                                 "database (redis://host/1), or set ?prefix=",
                                                 name, text));
  }
  return fail(ErrorCode::io, fmt::format("{} answers with an error ({})", name, text));
}

std::int64_t RedisReply::integer() const {
  if (reply_->type == REDIS_REPLY_INTEGER) return reply_->integer;
  std::int64_t value = 0;
  const std::string_view digits = text();
  std::from_chars(digits.data(), digits.data() + digits.size(), value);
  return value;
}

RedisConnection::RedisConnection(const RedisAddress& address, std::unique_ptr<ByteStream> stream)
    : name_(address.name()), stream_(std::move(stream)), reader_(redisReaderCreate()), buffer_(read_bytes) {}

Result<std::unique_ptr<RedisConnection>> RedisConnection::open(const RedisAddress& address, const DialTls& dial_tls) {
  Result<std::unique_ptr<ByteStream>> stream = dial(address, dial_tls);
  if (!stream) {
    return fail(stream.error().code, fmt::format("cannot reach {} ({}): is it running, and is the address right?",
                                                 address.name(), stream.error().message));
  }
  auto connection = std::unique_ptr<RedisConnection>(new RedisConnection(address, std::move(stream.value())));
  BOOST_OUTCOME_TRYV(connection->log_in(address));
  return connection;
}

Result<void> RedisConnection::log_in(const RedisAddress& address) {
  std::vector<RedisCommand> commands;
  if (!address.password.empty() && address.user.empty()) commands.push_back({"AUTH", address.password});
  if (!address.password.empty() && !address.user.empty()) {
    commands.push_back({"AUTH", address.user, address.password});
  }
  commands.push_back({"SELECT", std::to_string(address.db)});
  BOOST_OUTCOME_TRY(replies, ask(commands));
  for (const RedisReply& reply : replies) {
    if (reply.is_error()) return redis_error(name_, reply.text());
  }
  return boost::outcome_v2::success();
}

Error RedisConnection::broken(const std::string& why) const {
  return fail(ErrorCode::unreachable, fmt::format("{} does not answer ({}): is it running?", name_, why));
}

Result<std::vector<RedisReply>> RedisConnection::ask(std::span<const RedisCommand> commands) {
  for (const RedisCommand& command : commands) {
    std::vector<const char*> arguments;
    std::vector<std::size_t> sizes;
    for (const std::string& argument : command) {
      arguments.push_back(argument.data());
      sizes.push_back(argument.size());
    }
    char* text = nullptr;
    const int size = redisFormatCommandArgv(&text, static_cast<int>(command.size()), arguments.data(), sizes.data());
    if (size < 0) return broken("no memory for a command");
    const std::unique_ptr<char, decltype(&redisFreeCommand)> owner(text, &redisFreeCommand);
    buffered_.append(text, static_cast<std::size_t>(size));
    if (buffered_.size() < read_bytes) continue;
    BOOST_OUTCOME_TRYV(flush());
  }
  BOOST_OUTCOME_TRYV(flush());
  std::vector<RedisReply> replies;
  while (replies.size() < commands.size()) {
    BOOST_OUTCOME_TRY(reply, read_reply());
    replies.push_back(std::move(reply));
  }
  return replies;
}

Result<void> RedisConnection::flush() {
  // In pieces, so that a large one on a slow line is seen to move.
  for (std::string_view left = buffered_; !left.empty();) {
    const std::string_view piece = left.substr(0, write_bytes);
    const Result<void> written = stream_->write(piece);
    if (!written) {
      buffered_.clear();
      return broken(written.error().message);
    }
    left.remove_prefix(piece.size());
    progressed();
  }
  buffered_.clear();
  return boost::outcome_v2::success();
}

Result<RedisReply> RedisConnection::read_reply() {
  while (true) {
    void* reply = nullptr;
    if (redisReaderGetReply(reader_.get(), &reply) != REDIS_OK) return broken(reader_->errstr);
    if (reply) return RedisReply(std::shared_ptr<redisReply>(static_cast<redisReply*>(reply), freeReplyObject));
    const Result<std::size_t> received = stream_->read(buffer_);
    if (!received) return broken(received.error().message);
    progressed();
    if (redisReaderFeed(reader_.get(), buffer_.data(), received.value()) != REDIS_OK) return broken(reader_->errstr);
  }
}

}  // namespace dc::store
