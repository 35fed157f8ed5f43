// See redis_address.hpp.
#include "store/redis_address.hpp"

#include <fmt/format.h>

#include <charconv>
#include <optional>
#include <string_view>
#include <utility>

namespace dc::store {
namespace {

constexpr std::string_view plain = "redis://";
constexpr std::string_view encrypted = "rediss://";
constexpr std::string_view local = "redis+unix://";

template <class Number>
std::optional<Number> number_of(std::string_view text) {
  Number value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (text.empty() || error != std::errc() || end != text.data() + text.size()) return std::nullopt;
  return value;
}

/// What stands before and after the first (last) `mark`; the second is empty when there is none.
std::pair<std::string_view, std::string_view> cut(std::string_view text, char mark) {
  const std::size_t at = text.find(mark);
  if (at == text.npos) return {text, {}};
  return {text.substr(0, at), text.substr(at + 1)};
}

std::optional<std::string> decoded(std::string_view text) {
  std::string plain_text;
  for (std::size_t i = 0; i < text.size(); ++i) {
    if (text[i] != '%') {
      plain_text.push_back(text[i]);
      continue;
    }
    unsigned byte = 0;
    const std::string_view digits = text.substr(i + 1, 2);
    const auto [end, error] = std::from_chars(digits.data(), digits.data() + digits.size(), byte, 16);
    if (digits.size() < 2 || error != std::errc() || end != digits.data() + 2) return std::nullopt;
    plain_text.push_back(static_cast<char>(byte));
    i += 2;
  }
  return plain_text;
}

/// Builds the address piece by piece; `wrong` is the first thing that was wrong.
struct Parser {
  RedisAddress address;
  std::string wrong;

  void complain(std::string what) {
    if (wrong.empty()) wrong = std::move(what);
  }
  std::string decode(std::string_view text, const char* what) {
    const std::optional<std::string> plain_text = decoded(text);
    if (!plain_text) complain(fmt::format("a percent sign in the {} must be written as %25", what));
    return plain_text.value_or("");
  }
  void set_db(std::string_view text) {
    const auto db = number_of<unsigned>(text);
    if (!db) complain("what stands for the database is not its number, as in redis://localhost/1");
    address.db = db.value_or(0);
  }
  void authority(std::string_view text);
  void query(std::string_view text);
};

void Parser::authority(std::string_view text) {
  if (const std::size_t at = text.rfind('@'); at != text.npos) {
    const auto [user, password] = cut(text.substr(0, at), ':');
    address.user = decode(user, "user");
    address.password = decode(password, "password");
    text.remove_prefix(at + 1);
  }
  std::string_view port;
  if (text.starts_with('[')) {  // an address of IPv6
    const auto [host, rest] = cut(text.substr(1), ']');
    address.host = host;
    if (!rest.empty() && !rest.starts_with(':')) complain("after ']' comes ':' and the port");
    port = rest.empty() ? rest : rest.substr(1);
    if (rest == ":") complain("the port is missing after ':'");
  } else {
    const auto [host, given] = cut(text, ':');
    address.host = host;
    port = given;
    if (given.empty() && text.find(':') != text.npos) complain("the port is missing after ':'");
  }
  if (address.host.empty()) complain("the host is missing, as in redis://localhost");
  if (port.empty()) return;
  const auto given = number_of<std::uint16_t>(port);
  if (!given || *given == 0) complain("after ':' comes a port from 1 to 65535, and after a password '@' and the host");
  address.port = given.value_or(address.port);
}

void Parser::query(std::string_view text) {
  while (!text.empty()) {
    const auto [option, rest] = cut(text, '&');
    text = rest;
    const auto [name, value] = cut(option, '=');
    if (name == "db") {
      set_db(value);
    } else if (name == "prefix" && !value.empty()) {
      address.prefix = decode(value, "prefix");
    } else if (name == "password") {
      address.password = decode(value, "password");
    } else if (name == "ca" && address.tls) {
      address.ca_file = decode(value, "path");
    } else if (name == "insecure" && address.tls && (value == "1" || value == "0")) {
      address.insecure = value == "1";
    } else {
      complain(
          "after '?' may stand db=NUMBER, prefix=NAME, password=PASSWORD and, for rediss://, ca=/PATH and insecure=1, "
          "but nothing else (a '?' or '&' in a password is written %3F or %26)");
    }
  }
}

}  // namespace

std::string RedisAddress::name() const {
  std::string text = "Redis at ";
  if (!unix_path.empty()) {
    text += unix_path;
  } else {
    text += host.find(':') == host.npos ? fmt::format("{}:{}", host, port) : fmt::format("[{}]:{}", host, port);
  }
  if (db != 0) text += fmt::format("/{}", db);
  if (prefix != RedisAddress{}.prefix) text += fmt::format(" ({})", prefix);
  return text;
}

bool is_redis_url(const std::string& url) {
  return url.starts_with(plain) || url.starts_with(encrypted) || url.starts_with(local);
}

Result<RedisAddress> parse_redis_url(const std::string& url) {
  Parser parser;
  parser.address.tls = url.starts_with(encrypted);
  const bool is_local = url.starts_with(local);
  const auto [place, query] = cut(std::string_view(url).substr(url.find("://") + 3), '?');
  if (is_local) {
    parser.address.unix_path = parser.decode(place, "path");
    if (!place.starts_with('/')) parser.complain("after redis+unix:// comes the whole path of a socket");
  } else {
    const auto [authority, path] = cut(place, '/');
    parser.authority(authority);
    if (!path.empty()) parser.set_db(path);
  }
  parser.query(query);
  if (parser.wrong.empty()) return std::move(parser.address);
  return fail(ErrorCode::invalid, fmt::format("--store {}…: {}", url.substr(0, url.find("://") + 3), parser.wrong));
}

std::string redis_socket_url(const std::string& path, const std::string& query) {
  std::string url(local);
  for (const char letter : path) url += letter == '%' ? "%25" : letter == '?' ? "%3F" : std::string(1, letter);
  return url + "?" + query;
}

std::vector<std::string> secrets_of(const std::string& url) {
  const std::size_t scheme = url.find("://");
  const std::string_view rest = std::string_view(url).substr(scheme == url.npos ? 0 : scheme + 3);
  std::vector<std::string_view> written;
  if (const std::size_t at = rest.rfind('@'); at != rest.npos) written.push_back(cut(rest.substr(0, at), ':').second);
  for (std::string_view options = cut(rest, '?').second; !options.empty();) {
    const auto [option, more] = cut(options, '&');
    if (option.starts_with("password=")) written.push_back(cut(option, '=').second);
    options = more;
  }
  std::vector<std::string> secrets;
  for (const std::string_view password : written) {
    if (password.empty()) continue;
    secrets.emplace_back(password);
    if (const auto plain_text = decoded(password); plain_text && *plain_text != password) {
      secrets.push_back(*plain_text);
    }
  }
  return secrets;
}

}  // namespace dc::store
