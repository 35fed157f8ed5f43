// See head_address.hpp.
#include "net/head_address.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <charconv>
#include <sstream>
#include <string_view>

#include "net/acceptor.hpp"
#include "net/session.hpp"

namespace dc::net {
namespace {

std::string_view trimmed(std::string_view text) {
  const auto first = text.find_first_not_of(' ');
  return first == std::string_view::npos ? "" : text.substr(first, text.find_last_not_of(' ') + 1 - first);
}

Result<std::uint16_t> port_of(std::string_view digits, std::string_view address) {
  std::uint16_t port = 0;
  const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), port);
  if (error == std::errc{} && end == digits.data() + digits.size() && port != 0) return port;
  return fail(ErrorCode::invalid, fmt::format("'{}' is no port of an address ({}): a number from 1 to 65535 stands "
                                              "behind the colon",
                                              digits, address));
}

/// What was given in the place of a name: a URL or a path, which may hold a password.
Result<HeadAddress> no_name(std::string_view text) {
  std::string_view host = text;
  if (const auto scheme = host.find("://"); scheme != std::string_view::npos) host.remove_prefix(scheme + 3);
  host = host.substr(0, host.find_first_of("/?#"));
  host = host.substr(host.rfind('@') + 1);
  return fail(ErrorCode::invalid,
              fmt::format("the address is {}, not the name of a machine: give host or host:port{}",
                          text.find("://") != std::string_view::npos ? "a URL" : "a path or has a user's name",
                          host.empty() ? "" : fmt::format(", here {}", host)));
}

Result<HeadAddress> head_address(std::string_view text, std::uint16_t port) {
  if (text.find_first_of("/@") != std::string_view::npos) return no_name(text);
  HeadAddress address{std::string(text), port};
  std::string_view behind;  // the host, with its colon
  if (text.starts_with('[')) {
    const auto end = text.find(']');
    behind = end == std::string_view::npos ? "?" : text.substr(end + 1);
    if (!behind.empty() && behind.front() != ':') {
      return fail(ErrorCode::invalid,
                  fmt::format("the address {} is not one in brackets: write [::1] or [::1]:8899", text));
    }
    address.host = text.substr(1, end - 1);
  } else if (const auto colon = text.find(':'); colon == text.rfind(':') && colon != std::string_view::npos) {
    address.host = text.substr(0, colon);
    behind = text.substr(colon);
  }
  if (address.host.empty()) {
    return fail(ErrorCode::invalid,
                "an address of the head is empty: give host, host:port, or several with commas "
                "between them");
  }
  if (behind.empty()) return address;
  address.own_port = true;
  BOOST_OUTCOME_TRY(own, port_of(behind.substr(1), text));
  address.port = own;
  return address;
}

}  // namespace

std::string HeadAddress::name() const { return host_port(host, port); }

Result<std::vector<HeadAddress>> head_addresses(const std::string& text, std::uint16_t port) {
  std::vector<HeadAddress> addresses;
  for (std::size_t begin = 0; begin <= text.size();) {
    const std::size_t end = std::min(text.find(',', begin), text.size());
    BOOST_OUTCOME_TRY(address, head_address(trimmed(std::string_view(text).substr(begin, end - begin)), port));
    addresses.push_back(std::move(address));
    begin = end + 1;
  }
  return addresses;
}

std::string head_names(const std::string& text, std::uint16_t port) {
  const auto addresses = head_addresses(text, port);
  if (!addresses) return text;
  std::string names;
  for (const HeadAddress& address : addresses.value()) names += (names.empty() ? "" : ", ") + address.name();
  return names;
}

bool are_fingerprints(const std::string& text) {
  std::stringstream list(text + ",");
  for (std::string one; std::getline(list, one, ',');) {
    if (!is_fingerprint(one)) return false;
  }
  return true;
}

}  // namespace dc::net
