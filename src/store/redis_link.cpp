// See redis_link.hpp.
#include "store/redis_link.hpp"

#include <fmt/format.h>

#include <algorithm>

namespace dc::store {

std::string RedisLink::key(const std::string& name) const {
  // The braces put all keys into one slot, for those who shard.
  return fmt::format("{{{}}}:{}", options_.address.prefix, name);
}

Result<bool> RedisLink::connect() {
  if (connection_) return false;
  BOOST_OUTCOME_TRY(opened, RedisConnection::open(options_.address, options_.dial_tls));
  connection_ = std::move(opened);
  connection_->on_progress(on_progress_);
  return true;
}

Result<std::vector<RedisReply>> RedisLink::exchange(const std::vector<RedisCommand>& commands) {
  BOOST_OUTCOME_TRYV(connect());
  Result<std::vector<RedisReply>> replies = connection_->ask(commands);
  if (!replies) {
    connection_.reset();
    return replies;
  }
  // The address may lead to the primary by now; this connection never will.
  const bool replica = std::any_of(replies.value().begin(), replies.value().end(), [](const RedisReply& reply) {
    return reply.is_error() && is_of_replica(reply.text());
  });
  if (replica) connection_.reset();
  return replies;
}

Result<std::vector<RedisReply>> RedisLink::ask(const std::vector<RedisCommand>& commands) {
  BOOST_OUTCOME_TRY(replies, exchange(commands));
  for (const RedisReply& reply : replies) {
    if (reply.is_error()) return redis_error(name(), reply.text());
  }
  return std::move(replies);
}

Result<RedisReply> RedisLink::ask(const RedisCommand& command) {
  BOOST_OUTCOME_TRY(replies, ask(std::vector<RedisCommand>{command}));
  return replies.front();
}

std::string info_value(std::string_view text, std::string_view name) {
  const std::string line = fmt::format("\n{}:", name);
  const std::size_t at = text.find(line);
  if (at == text.npos) return "";
  const std::string_view rest = text.substr(at + line.size());
  return std::string(rest.substr(0, rest.find('\r')));
}

std::string throws_away(const std::string& name, std::string_view info) {
  const std::string policy = info_value(info, "maxmemory_policy");
  if (policy.empty() || policy == "noeviction" || info_value(info, "maxmemory") == "0") return "";
  return fmt::format("{} throws keys away when it is full (maxmemory-policy {}): set that to noeviction", name, policy);
}

}  // namespace dc::store
