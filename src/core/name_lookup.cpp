// See name_lookup.hpp.
#include "core/name_lookup.hpp"

#include <fmt/format.h>
#include <netdb.h>

#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <thread>

namespace dc {
namespace {

using Answer = Result<std::vector<SocketAddress>>;

/// So many threads may hang in look-ups at once.
constexpr int hanging_max = 8;

Answer ask_library(const std::string& host, std::uint16_t port, int flags) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(host.c_str(), std::to_string(port).c_str(), &hints, &list); code != 0) {
    return fail(ErrorCode::unreachable, ::gai_strerror(code));
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  std::vector<SocketAddress> found;
  for (const addrinfo* one = list; one; one = one->ai_next) {
    SocketAddress& address = found.emplace_back();
    address.size = one->ai_addrlen;
    std::memcpy(&address.bytes, one->ai_addr, one->ai_addrlen);
  }
  if (found.empty()) return fail(ErrorCode::unreachable, "the host has no address");
  return found;
}

/// Of the whole process, since it must outlive every connection: what names meant the last time, and how many threads
/// hang. Never destroyed, for such a thread may outlive main.
struct Memory {
  std::mutex mutex;
  std::condition_variable changed;
  std::map<std::string, std::vector<SocketAddress>> last;
  int hanging = 0;
};
Memory& memory() {
  static Memory& one = *new Memory;
  return one;
}

}  // namespace

Answer look_up(const std::string& host, std::uint16_t port, Duration timeout, const LookUp& ask) {
  // Neither an address nor a name of /etc/hosts needs a server, but only the first can be told apart.
  if (Answer numeric = ask_library(host, port, AI_NUMERICHOST); numeric) return numeric;
  const std::string key = fmt::format("{} {}", host, port);
  const auto answer = std::make_shared<std::optional<Answer>>();
  Memory& known = memory();
  std::unique_lock lock(known.mutex);
  if (known.hanging < hanging_max) {
    ++known.hanging;
    std::thread([host, port, key, answer, ask] {
      Answer found = ask ? ask(host, port) : ask_library(host, port, 0);
      const std::lock_guard guard(memory().mutex);
      if (found) memory().last[key] = found.value();
      *answer = std::move(found);
      --memory().hanging;
      memory().changed.notify_all();
    }).detach();
    known.changed.wait_for(lock, timeout, [&] { return answer->has_value(); });
  }
  if (answer->has_value() && **answer) return **answer;
  if (const auto before = known.last.find(key); before != known.last.end()) return before->second;
  if (answer->has_value()) return **answer;
  return fail(ErrorCode::unreachable, fmt::format("its name was not found for {:.1f} s: does the name server answer?",
                                                  std::chrono::duration<double>(timeout).count()));
}

}  // namespace dc
