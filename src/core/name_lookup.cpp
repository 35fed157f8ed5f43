// See name_lookup.hpp.
#include "core/name_lookup.hpp"

#include <fmt/format.h>
#include <netdb.h>
#include <unistd.h>

#include <atomic>
#include <cerrno>
#include <condition_variable>
#include <cstring>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <system_error>
#include <thread>
#include <utility>

#include "core/signals_blocked.hpp"

namespace dc {
namespace {

/// Of this process and never destroyed: a thread may hang in a name server until the end. A forked child has none of
/// the threads, so it begins anew.
struct Registry {
  const pid_t process = ::getpid();
  std::mutex mutex;
  std::map<std::string, std::vector<std::weak_ptr<const OnFound>>> under_way;
  std::map<std::string, std::vector<SocketAddress>> last;  ///< what names meant
};

Registry& registry() {
  static std::atomic<Registry*> current = nullptr;
  Registry* known = current.load();
  while (!known || known->process != ::getpid()) {
    auto* fresh = new Registry;
    if (current.compare_exchange_strong(known, fresh)) return *fresh;
    delete fresh;
  }
  return *known;
}

Found ask_library(const std::string& name, int flags) {
  Found found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  hints.ai_flags = flags;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &list); code != 0) {
    found.problem = code == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(code);
    return found;
  }
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> owner(list, &::freeaddrinfo);
  for (const addrinfo* one = list; one; one = one->ai_next) {
    SocketAddress& address = found.addresses.emplace_back();
    address.size = one->ai_addrlen;
    std::memcpy(&address.bytes, one->ai_addr, one->ai_addrlen);
  }
  if (found.addresses.empty()) found.problem = "the host has no address";
  return found;
}

void tell_all(Registry& all, const std::string& name, const Found& found) {
  std::vector<std::weak_ptr<const OnFound>> waiting;
  {
    const std::lock_guard lock(all.mutex);
    if (found.problem.empty()) all.last[name] = found.addresses;
    waiting = std::move(all.under_way.extract(name).mapped());
  }
  for (const auto& weak : waiting) {
    if (const NameQuestion question = weak.lock()) (*question)(found);
  }
}

std::vector<SocketAddress> with_port(std::vector<SocketAddress> addresses, std::uint16_t port) {
  for (SocketAddress& one : addresses) {
    if (one.family() == AF_INET) reinterpret_cast<sockaddr_in*>(&one.bytes)->sin_port = htons(port);
    if (one.family() == AF_INET6) reinterpret_cast<sockaddr_in6*>(&one.bytes)->sin6_port = htons(port);
  }
  return addresses;
}

}  // namespace

NameQuestion ask_for_name(const std::string& name, OnFound on_found, const NameServer& server) {
  const auto question = std::make_shared<const OnFound>(std::move(on_found));
  Registry& all = registry();
  {
    const std::lock_guard lock(all.mutex);
    const auto [entry, fresh] = all.under_way.try_emplace(name);
    std::erase_if(entry->second, [](const auto& one) { return one.expired(); });
    entry->second.push_back(question);
    if (!fresh) return question;
  }
  const SignalsBlocked blocked;
  try {
    std::thread([&all, name, server] { tell_all(all, name, server ? server(name) : ask_library(name, 0)); }).detach();
  } catch (const std::system_error& error) {
    tell_all(all, name, {{}, error.what()});
  }
  return question;
}

Result<std::vector<SocketAddress>> look_up(const std::string& host, std::uint16_t port, Duration timeout,
                                           const NameServer& server) {
  // Neither an address nor a name of /etc/hosts needs a server, but only the first can be told apart.
  if (Found numeric = ask_library(host, AI_NUMERICHOST); numeric.problem.empty())
    return with_port(std::move(numeric.addresses), port);
  struct Answer {
    std::condition_variable came;
    std::optional<Found> found;  ///< guarded by the registry's mutex
  };
  const auto answer = std::make_shared<Answer>();
  Registry& all = registry();
  const NameQuestion question = ask_for_name(
      host,
      [&all, answer](const Found& found) {
        const std::lock_guard lock(all.mutex);
        answer->found = found;
        answer->came.notify_all();
      },
      server);
  std::unique_lock lock(all.mutex);
  answer->came.wait_for(lock, timeout, [&] { return answer->found.has_value(); });
  if (const auto last = all.last.find(host); last != all.last.end()) return with_port(last->second, port);
  if (answer->found) return fail(ErrorCode::unreachable, answer->found->problem);
  return fail(ErrorCode::unreachable, fmt::format("its name was not found for {:.1f} s: does the name server answer?",
                                                  std::chrono::duration<double>(timeout).count()));
}

}  // namespace dc
