// See known_heads.hpp.
#include "net/known_heads.hpp"

#include <arpa/inet.h>
#include <fcntl.h>
#include <fmt/format.h>
#include <netinet/in.h>
#include <sys/file.h>
#include <sys/stat.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <cerrno>
#include <charconv>
#include <cstring>
#include <filesystem>
#include <optional>
#include <sstream>

#include "core/fd.hpp"
#include "core/paths.hpp"
#include "net/acceptor.hpp"
#include "net/session.hpp"

namespace dc::net {
namespace {

constexpr const char* this_machine = "localhost";

std::string numeric(int family, const void* address) {
  std::array<char, INET6_ADDRSTRLEN> text{};
  inet_ntop(family, address, text.data(), text.size());
  return text.data();
}

std::string usual_form(in_addr address) {
  const auto number = ntohl(address.s_addr);
  if (number == INADDR_LOOPBACK || number == INADDR_ANY) return this_machine;
  return numeric(AF_INET, &address);
}

std::string usual_form(const in6_addr& address) {
  if (IN6_IS_ADDR_LOOPBACK(&address) || IN6_IS_ADDR_UNSPECIFIED(&address)) return this_machine;
  if (!IN6_IS_ADDR_V4MAPPED(&address)) return numeric(AF_INET6, &address);
  in_addr v4{};
  std::memcpy(&v4, &address.s6_addr[12], sizeof v4);
  return usual_form(v4);
}

/// Of a name or a number.
std::string usual_form(std::string_view host) {
  std::string name(host);
  std::transform(name.begin(), name.end(), name.begin(), [](unsigned char c) { return std::tolower(c); });
  in6_addr v6{};
  if (inet_pton(AF_INET6, name.c_str(), &v6) == 1) return usual_form(v6);
  if (name.size() > 1 && name.ends_with('.')) name.pop_back();
  in_addr v4{};
  if (inet_aton(name.c_str(), &v4) == 1) return usual_form(v4);  // also "127.1", as resolvers read it
  return name;
}

/// Host and port of "host:port" or "[::1]:port".
std::optional<std::pair<std::string_view, std::uint16_t>> parts_of(std::string_view name) {
  const auto colon = name.rfind(':');
  if (colon == std::string_view::npos) return std::nullopt;
  const std::string_view digits = name.substr(colon + 1);
  std::string_view host = name.substr(0, colon);
  if (host.starts_with('[') && host.ends_with(']')) host = host.substr(1, host.size() - 2);
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (host.empty() || error != std::errc{} || end != digits.data() + digits.size()) return std::nullopt;
  return std::pair(host, port);
}

Error cannot(const char* what, const std::string& file, int error) {
  return fail(
      ErrorCode::invalid,
      fmt::format("cannot {} the keys of known heads, {} ({}): make the file yours, remove it if every head is to "
                  "count as new, or name the head's key by its fingerprint",
                  what, file, std::strerror(error)));
}

Result<std::string> content_of(const std::string& file) {
  const Fd opened(::open(file.c_str(), O_RDONLY | O_CLOEXEC));
  if (opened.get() < 0) {
    if (errno == ENOENT) return std::string();
    return cannot("read", file, errno);
  }
  std::string content;
  std::array<char, 1 << 14> piece{};
  for (;;) {
    const ssize_t count = ::read(opened.get(), piece.data(), piece.size());
    if (count < 0 && errno == EINTR) continue;
    if (count < 0) return cannot("read", file, errno);
    if (count == 0) return content;
    content.append(piece.data(), static_cast<std::size_t>(count));
  }
}

/// Writes a whole line behind what there is, or leaves the file as it was. The caller holds the file's lock.
bool append_line(int fd, const std::string& line) {
  struct stat status {};
  if (::fstat(fd, &status) != 0) return false;
  char last = '\n';
  if (status.st_size > 0 && ::pread(fd, &last, 1, status.st_size - 1) != 1) return false;
  const std::string text = (last == '\n' ? "" : "\n") + line;
  if (::write(fd, text.data(), text.size()) == static_cast<ssize_t>(text.size()) && ::fsync(fd) == 0) return true;
  const int error = errno != 0 ? errno : ENOSPC;
  (void)!::ftruncate(fd, status.st_size);
  errno = error;
  return false;
}

}  // namespace

std::string same_head_name(std::string_view host, std::uint16_t port) { return host_port(usual_form(host), port); }

Result<KnownHeads> KnownHeads::read(const std::string& file) {
  BOOST_OUTCOME_TRY(content, content_of(file));
  KnownHeads known;
  std::istringstream lines(content);
  std::size_t number = 0;
  for (std::string line; std::getline(lines, line);) {
    ++number;
    std::istringstream words(line);
    std::string name, fingerprint, more;
    if (!(words >> name) || name.starts_with('#')) continue;
    const bool whole = (words >> fingerprint) && !(words >> more) && parts_of(name) && is_fingerprint(fingerprint);
    if (!whole) {
      return fail(
          ErrorCode::invalid,
          fmt::format("line {} of {} is damaged (it should be \"HOST:PORT sha256:…\"): mend it, or remove it if "
                      "that head is to count as new",
                      number, file));
    }
    known.entries_.push_back({name, fingerprint, number});
  }
  return known;
}

const KnownHeads::Entry* KnownHeads::find(std::string_view host, std::uint16_t port) const {
  const std::string typed = host_port(std::string(host), port);
  for (const Entry& entry : entries_) {
    if (entry.name == typed) return &entry;
  }
  const std::string same = same_head_name(host, port);
  for (const Entry& entry : entries_) {
    if (const auto parts = parts_of(entry.name); parts && same_head_name(parts->first, parts->second) == same) {
      return &entry;
    }
  }
  return nullptr;
}

void KnownHeads::add(std::string_view host, std::uint16_t port, const std::string& fingerprint) {
  entries_.push_back({same_head_name(host, port), fingerprint, entries_.empty() ? 1 : entries_.back().line + 1});
}

Result<void> remember_head(const std::string& file, std::string_view host, std::uint16_t port,
                           const std::string& fingerprint) {
  const std::string problem = paths::make_private_dir(std::filesystem::path(file).parent_path());
  if (!problem.empty()) return fail(ErrorCode::io, problem);
  const Fd opened(::open(file.c_str(), O_RDWR | O_APPEND | O_CREAT | O_CLOEXEC, 0600));
  const bool open = opened.get() >= 0;
  if (open) (void)::flock(opened.get(), LOCK_EX);  // some file systems have none: then the worst is a damaged line
  const std::string line = fmt::format("{} {}\n", same_head_name(host, port), fingerprint);
  if (open && append_line(opened.get(), line)) return boost::outcome_v2::success();
  return fail(ErrorCode::io, fmt::format("cannot write {} ({})", file, std::strerror(errno)));
}

bool is_fingerprint(const std::string& text) {
  constexpr std::string_view prefix = "sha256:";
  constexpr std::size_t characters = 43;  // of 32 bytes in base64url
  return text.starts_with(prefix) && text.size() == prefix.size() + characters &&
         std::all_of(text.begin() + prefix.size(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
}

}  // namespace dc::net
