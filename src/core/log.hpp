// What a process tells its operator, on stderr. Nothing secret ever goes through here. Each call is one line, made
// printable (texts of peers may stand in it), and there is a limit on how many come in a second.
#pragma once

#include <fmt/core.h>

#include <string_view>
#include <utility>

namespace dc::log {

enum class Level { debug = 0, info = 1, warning = 2, error = 3, off = 4 };

/// Names the process in every line ("head", "node", ...) and takes the level from the environment variable
/// DISTRIBUTED_COMPUTING_LOG (debug, info, warning, error, off), else `level`. Without this call only warnings and
/// errors are shown, as fits a library in someone else's process.
void set_up(std::string_view role, Level level = Level::info);

[[nodiscard]] bool enabled(Level level);
void write(Level level, std::string_view text);

template <class... Args>
void debug(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::debug)) write(Level::debug, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void info(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::info)) write(Level::info, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void warning(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::warning)) write(Level::warning, fmt::format(format, std::forward<Args>(args)...));
}
template <class... Args>
void error(fmt::format_string<Args...> format, Args&&... args) {
  if (enabled(Level::error)) write(Level::error, fmt::format(format, std::forward<Args>(args)...));
}

}  // namespace dc::log
