// See known_heads.hpp.
#include "net/known_heads.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <unistd.h>

#include <algorithm>
#include <cctype>
#include <cerrno>
#include <cstring>
#include <filesystem>
#include <fstream>
#include <string_view>

#include "core/paths.hpp"
#include "net/session.hpp"

namespace dc::net {

std::optional<std::string> known_head(const std::string& file, const std::string& head) {
  std::ifstream lines(file);
  for (std::string name, fingerprint; lines >> name >> fingerprint;) {
    if (name == head) return fingerprint;
  }
  return std::nullopt;
}

Result<void> remember_head(const std::string& file, const std::string& head, const std::string& fingerprint) {
  const std::string problem = paths::make_private_dir(std::filesystem::path(file).parent_path());
  if (!problem.empty()) return fail(ErrorCode::io, problem);
  const std::string line = fmt::format("{} {}\n", head, fingerprint);
  // One write at the end of the file: what others add at the same time stands before or behind it.
  const int fd = ::open(file.c_str(), O_WRONLY | O_APPEND | O_CREAT | O_CLOEXEC, 0600);
  const bool written = fd >= 0 && ::write(fd, line.data(), line.size()) == static_cast<ssize_t>(line.size());
  const int error = errno;
  if (fd >= 0) ::close(fd);
  if (!written) return fail(ErrorCode::io, fmt::format("cannot write {} ({})", file, std::strerror(error)));
  return boost::outcome_v2::success();
}

bool is_fingerprint(const std::string& text) {
  constexpr std::string_view prefix = "sha256:";
  constexpr std::size_t characters = 43;  // of 32 bytes in base64url
  return text.starts_with(prefix) && text.size() == prefix.size() + characters &&
         std::all_of(text.begin() + prefix.size(), text.end(),
                     [](unsigned char c) { return std::isalnum(c) || c == '-' || c == '_'; });
}

}  // namespace dc::net
