// See choose.hpp.
#include "store/choose.hpp"

#include <fmt/format.h>
#include <sys/stat.h>
#include <sys/un.h>

#include <fstream>
#include <sstream>

#include "core/blocking_socket.hpp"
#include "core/limits.hpp"
#include "core/paths.hpp"
#include "store/redis_connection.hpp"

namespace dc::store {
namespace {

constexpr std::string_view listening = "0A";
constexpr std::size_t socket_path_max = sizeof(sockaddr_un::sun_path) - 1;

/// A server that may run.
struct Candidate {
  std::string directory;
  std::string password;
};

/// Whether a program listens on the socket; a file that a dead one left behind refuses.
bool listens(const std::string& socket) {
  struct stat file {};
  if (::stat(socket.c_str(), &file) != 0 || !S_ISSOCK(file.st_mode)) return false;
  return bool(BlockingSocket::connect_unix(socket, limits::store_call_timeout));
}

/// Why it is not to be used; empty when it is.
std::string why_not(const Candidate& candidate) {
  if (std::string problem = paths::make_private_dir(candidate.directory); !problem.empty()) return problem;
  RedisAddress address;
  address.unix_path = socket_in(candidate.directory);
  address.password = candidate.password;
  address.of_same_user = true;
  if (address.password.empty()) return "its secret cannot be read: " + secret_in(candidate.directory);
  const auto connection = RedisConnection::open(address, {});
  if (connection) return {};
  const bool wrong = connection.error().message.find("WRONGPASS") != std::string::npos;
  return wrong ? address.name() + " does not take the password of this cluster" : connection.error().message;
}

std::string first_line(const std::string& path) {
  std::string line;
  std::ifstream file(path);
  std::getline(file, line);
  return line;
}

}  // namespace

std::string shared_prefix(std::uint16_t head_port) { return fmt::format("distributed-computing-{}", head_port); }

std::string socket_in(const std::string& redis_dir) { return redis_dir + "/redis.sock"; }
std::string secret_in(const std::string& redis_dir) { return redis_dir + "/secret"; }

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

std::optional<uid_t> listener_on(std::uint16_t port) {
  for (const char* file : {"/proc/net/tcp", "/proc/net/tcp6"}) {
    std::ostringstream table;
    table << std::ifstream(file).rdbuf();
    if (const auto user = listener_of(table.str(), port)) return user;
  }
  return std::nullopt;
}

Choice choose_store(const ChoiceOptions& options) {
  Choice choice{"sqlite", "", false, {}};
  const std::string own_secret = first_line(secret_in(options.head_redis_dir));
  for (const Candidate& candidate :
       {Candidate{options.redis_dir, options.password}, Candidate{options.head_redis_dir, own_secret}}) {
    const std::string socket = socket_in(candidate.directory);
    if (socket.size() > socket_path_max) {
      choice.notes = {
          fmt::format("a Redis on this machine is not used: the path of its socket ({}) is longer than {} bytes. Set "
                      "DISTRIBUTED_COMPUTING_HOME to a shorter directory",
                      socket, socket_path_max)};
      continue;
    }
    if (!listens(socket)) continue;
    if (std::string problem = why_not(candidate); !problem.empty()) {
      choice.notes.push_back("the Redis on this machine is not used: " + problem);
      continue;
    }
    choice.url = redis_socket_url(socket, "prefix=" + shared_prefix(options.head_port));
    choice.password = candidate.password;
    choice.of_same_user = true;
    return choice;
  }
  return choice;
}

}  // namespace dc::store
