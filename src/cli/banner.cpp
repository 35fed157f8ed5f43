// See banner.hpp.
#include "cli/banner.hpp"

#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <utility>

#include "core/output.hpp"
#include "net/session.hpp"

namespace dc::cli {
namespace {

/// Whether the head can be reached from this machine alone.
bool loopback_only(const std::vector<std::string>& addresses) {
  return std::all_of(addresses.begin(), addresses.end(), [](const std::string& address) {
    return address == "localhost" || address == "::1" || address.starts_with("127.");
  });
}

}  // namespace

std::string shown_address(const std::vector<std::string>& bind) {
  for (const std::string& address : bind) {
    if (address == "0.0.0.0" || address == "::") return net::reachable_address();
  }
  return bind.front();
}

void print_banner(const Banner& banner, const Password& password) {
  const std::string stars(90, '*');
  const std::string option = password_option(password, ::isatty(STDOUT_FILENO) != 0);
  std::string text =
      fmt::format("\n{}\nTo start a worker node, type:\nstart_node -p {} -a {} {}--fingerprint {}\n{}\n\n", stars,
                  banner.port, shown_address(banner.bind), option, banner.fingerprint, stars);
  text += fmt::format("Named pools are kept in {}.\n", banner.store);
  const bool here_only = loopback_only(banner.bind);
  if (here_only) text += "This head listens on this machine only (--bind).\n";
  output::to_stdout(std::move(text));
  const std::string weakness = here_only ? "" : weakness_of(password.text);
  if (!weakness.empty()) output::to_stderr(fmt::format("start_node: warning: {}\n", weakness));
}

}  // namespace dc::cli
