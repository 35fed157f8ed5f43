// See lookup.hpp.
#include "net/lookup.hpp"

#include <netdb.h>
#include <pthread.h>
#include <unistd.h>

#include <algorithm>
#include <atomic>
#include <cerrno>
#include <csignal>
#include <cstring>
#include <map>
#include <mutex>
#include <system_error>
#include <thread>
#include <utility>

namespace dc::net {

struct Lookup {
  std::function<void(const Found&)> on_found;
};

namespace {

/// One who waits for an answer: told by way of its loop, if both are still there.
struct Waiting {
  std::weak_ptr<Lookup> lookup;
  std::function<void(Callback)> post;
};

/// Of this process and never destroyed: a thread may hang in a name server until the end. A forked child has none of
/// the threads, so it begins anew.
struct Registry {
  const pid_t process = ::getpid();
  std::mutex mutex;
  std::map<std::string, std::vector<Waiting>> under_way;
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

Found ask(const std::string& name) {
  Found found;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* list = nullptr;
  if (const int code = ::getaddrinfo(name.c_str(), nullptr, &hints, &list); code != 0) {
    found.problem = code == EAI_SYSTEM ? std::strerror(errno) : ::gai_strerror(code);
    return found;
  }
  for (const addrinfo* entry = list; entry; entry = entry->ai_next) {
    asio::ip::tcp::endpoint endpoint;
    if (entry->ai_addrlen > endpoint.capacity()) continue;
    std::memcpy(endpoint.data(), entry->ai_addr, entry->ai_addrlen);
    endpoint.resize(entry->ai_addrlen);
    found.endpoints.push_back(endpoint);
  }
  ::freeaddrinfo(list);
  if (found.endpoints.empty()) found.problem = "no address";
  return found;
}

void answer(Registry& all, const std::string& name, const Found& found) {
  std::vector<Waiting> waiting;
  {
    const std::lock_guard lock(all.mutex);
    waiting = std::move(all.under_way.extract(name).mapped());
  }
  for (const Waiting& one : waiting) {
    one.post([lookup = one.lookup, found] {
      if (const auto wanted = lookup.lock()) wanted->on_found(found);
    });
  }
}

}  // namespace

std::shared_ptr<Lookup> look_up(EventLoop& loop, const std::string& name, std::function<void(const Found&)> on_found) {
  auto lookup = std::make_shared<Lookup>(Lookup{std::move(on_found)});
  Registry& all = registry();
  {
    const std::lock_guard lock(all.mutex);
    const auto [entry, fresh] = all.under_way.try_emplace(name);
    std::erase_if(entry->second, [](const Waiting& one) { return one.lookup.expired(); });
    entry->second.push_back({lookup, loop.poster()});
    if (!fresh) return lookup;
  }
  sigset_t none_here, before;  // signals are for the threads that wait for them
  sigfillset(&none_here);
  ::pthread_sigmask(SIG_SETMASK, &none_here, &before);
  try {
    std::thread([&all, name] { answer(all, name, ask(name)); }).detach();
  } catch (const std::system_error& error) {
    answer(all, name, {{}, error.what()});
  }
  ::pthread_sigmask(SIG_SETMASK, &before, nullptr);
  return lookup;
}

}  // namespace dc::net
