// This machine's own addresses and name.
#include "net/machine.hpp"

#include <arpa/inet.h>
#include <ifaddrs.h>
#include <net/if.h>
#include <netdb.h>
#include <netinet/in.h>
#include <unistd.h>

#include <array>
#include <cstring>
#include <memory>
#include <optional>
#include <utility>

#include "net/session.hpp"

namespace dc::net {
namespace {

using Interfaces = std::unique_ptr<ifaddrs, decltype(&freeifaddrs)>;

Interfaces interfaces() {
  ifaddrs* list = nullptr;
  if (getifaddrs(&list) != 0) list = nullptr;
  return {list, freeifaddrs};
}

std::optional<in_addr> as_ipv4(const sockaddr& address) {
  if (address.sa_family == AF_INET) return reinterpret_cast<const sockaddr_in&>(address).sin_addr;
  if (address.sa_family != AF_INET6) return std::nullopt;
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  if (!IN6_IS_ADDR_V4MAPPED(&v6)) return std::nullopt;
  in_addr v4{};
  std::memcpy(&v4, &v6.s6_addr[12], sizeof v4);
  return v4;
}

bool loopback_or_any(const sockaddr& address) {
  if (const auto v4 = as_ipv4(address)) return (ntohl(v4->s_addr) >> 24) == 127 || v4->s_addr == INADDR_ANY;
  if (address.sa_family != AF_INET6) return false;
  const in6_addr& v6 = reinterpret_cast<const sockaddr_in6&>(address).sin6_addr;
  return IN6_IS_ADDR_LOOPBACK(&v6) || IN6_IS_ADDR_UNSPECIFIED(&v6);
}

bool same_host(const sockaddr& a, const sockaddr& b) {
  const auto a4 = as_ipv4(a);
  const auto b4 = as_ipv4(b);
  if (a4 || b4) return a4 && b4 && a4->s_addr == b4->s_addr;
  if (a.sa_family != AF_INET6 || b.sa_family != AF_INET6) return false;
  const in6_addr& a6 = reinterpret_cast<const sockaddr_in6&>(a).sin6_addr;
  const in6_addr& b6 = reinterpret_cast<const sockaddr_in6&>(b).sin6_addr;
  return std::memcmp(&a6, &b6, sizeof a6) == 0;
}

std::string numeric(const sockaddr& address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  const void* bytes = address.sa_family == AF_INET
                          ? static_cast<const void*>(&reinterpret_cast<const sockaddr_in&>(address).sin_addr)
                          : static_cast<const void*>(&reinterpret_cast<const sockaddr_in6&>(address).sin6_addr);
  return inet_ntop(address.sa_family, bytes, text.data(), text.size()) ? text.data() : "";
}

/// Connecting a UDP socket sends nothing, but makes the kernel choose the route and with it our own address.
std::string source_of_default_route() {
  const int fd = socket(AF_INET, SOCK_DGRAM | SOCK_CLOEXEC, 0);
  if (fd < 0) return "";
  sockaddr_in target{};
  target.sin_family = AF_INET;
  target.sin_port = htons(9);
  inet_pton(AF_INET, "192.0.2.1", &target.sin_addr);  // set aside for documentation: nobody lives there
  sockaddr_in own{};
  socklen_t size = sizeof own;
  const bool found = connect(fd, reinterpret_cast<const sockaddr*>(&target), sizeof target) == 0 &&
                     getsockname(fd, reinterpret_cast<sockaddr*>(&own), &size) == 0;
  close(fd);
  const auto& address = reinterpret_cast<const sockaddr&>(own);
  return found && !loopback_or_any(address) ? numeric(address) : "";
}

std::string first_interface(int family) {
  const Interfaces list = interfaces();
  for (const ifaddrs* entry = list.get(); entry; entry = entry->ifa_next) {
    if (!entry->ifa_addr || !(entry->ifa_flags & IFF_UP) || entry->ifa_addr->sa_family != family) continue;
    if (loopback_or_any(*entry->ifa_addr)) continue;
    const auto* v6 = reinterpret_cast<const sockaddr_in6*>(entry->ifa_addr);
    if (family == AF_INET6 && IN6_IS_ADDR_LINKLOCAL(&v6->sin6_addr)) continue;  // of no use without a zone
    return numeric(*entry->ifa_addr);
  }
  return "";
}

}  // namespace

bool local_address(const sockaddr& address) {
  if (loopback_or_any(address)) return true;
  const Interfaces list = interfaces();
  for (const ifaddrs* entry = list.get(); entry; entry = entry->ifa_next) {
    if (entry->ifa_addr && same_host(*entry->ifa_addr, address)) return true;
  }
  return false;
}

bool local_address(const std::string& address) {
  if (address == "localhost") return true;
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (getaddrinfo(address.c_str(), nullptr, &hints, &found) != 0) return false;
  const std::unique_ptr<addrinfo, decltype(&freeaddrinfo)> list(found, freeaddrinfo);
  for (const addrinfo* entry = found; entry; entry = entry->ai_next) {
    if (local_address(*entry->ai_addr)) return true;
  }
  return false;
}

std::string reachable_address() {
  for (std::string address : {source_of_default_route(), first_interface(AF_INET), first_interface(AF_INET6)}) {
    if (!address.empty()) return address;
  }
  return "127.0.0.1";
}

std::string host_name() {
  std::array<char, 256> name{};
  if (gethostname(name.data(), name.size() - 1) != 0 || name[0] == '\0') return "localhost";
  return name.data();
}

}  // namespace dc::net
