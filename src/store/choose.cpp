// See choose.hpp.
#include "store/choose.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <fstream>
#include <sstream>
#include <vector>

#include "store/redis_connection.hpp"

namespace dc::store {
namespace {

constexpr std::string_view listening = "0A";
/// Users below are of the system (root, redis), not people.
constexpr uid_t first_person = 1000;

std::optional<uid_t> listener_on(std::uint16_t port) {
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ostringstream table;
    table << std::ifstream(file).rdbuf();
    if (const auto user = listener_of(table.str(), port)) return user;
  }
  return std::nullopt;
}

/// Why it is not to be used; empty when it is.
std::string why_not(const ChoiceOptions& options, uid_t listener) {
  if (listener >= first_person && listener != ::geteuid()) {
    return fmt::format("port {} belongs to another user's program", options.redis_port);
  }
  RedisAddress address;
  address.host = "127.0.0.1";
  address.port = options.redis_port;
  address.password = options.password;
  const auto connection = RedisConnection::open(address, {});
  if (!connection) return connection.error().message;
  const auto answer = connection.value()->ask(std::vector<RedisCommand>{{"PING"}});
  if (!answer) return answer.error().message;
  return answer.value()[0].text() == "PONG" ? "" : redis_error(address.name(), answer.value()[0].text()).message;
}

}  // namespace

std::optional<uid_t> listener_of(std::string_view table, std::uint16_t port) {
  std::istringstream lines{std::string(table)};
  const std::string ending = fmt::format(":{:04X}", port);
  for (std::string line; std::getline(lines, line);) {
    std::istringstream words(line);
    std::string number, local, remote, state, queues, timer, retransmits;
    uid_t user = 0;
    if (!(words >> number >> local >> remote >> state >> queues >> timer >> retransmits >> user)) continue;
    if (state == listening && local.ends_with(ending)) return user;
  }
  return std::nullopt;
}

Choice choose_store(const ChoiceOptions& options) {
  if (!options.url.empty()) return {options.url, "", ""};
  const std::optional<uid_t> listener = listener_on(options.redis_port);
  if (!listener) return {"sqlite", "", ""};
  const std::string problem = why_not(options, *listener);
  if (!problem.empty()) {
    return {"sqlite", "", fmt::format("the Redis on this machine is not used: {}", problem)};
  }
  return {fmt::format("redis://127.0.0.1:{}?prefix=distributed-computing-{}", options.redis_port, options.head_port),
          options.password, ""};
}

}  // namespace dc::store
