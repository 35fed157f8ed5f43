// Log lines through spdlog; see log.hpp.
#include "core/log.hpp"

#include <spdlog/sinks/stdout_sinks.h>
#include <spdlog/spdlog.h>

#include <array>
#include <cstdlib>
#include <memory>
#include <string>

namespace dc::log {
namespace {

constexpr std::array spdlog_levels = {spdlog::level::debug, spdlog::level::info, spdlog::level::warn,
                                      spdlog::level::err, spdlog::level::off};
constexpr std::array<std::string_view, 5> names = {"debug", "info", "warning", "error", "off"};

spdlog::level::level_enum to_spdlog(Level level) { return spdlog_levels[static_cast<std::size_t>(level)]; }

Level level_from_environment(Level otherwise) {
  const char* text = std::getenv("DISTRIBUTED_COMPUTING_LOG");
  if (!text) return otherwise;
  for (std::size_t i = 0; i < names.size(); ++i) {
    if (names[i] == text) return static_cast<Level>(i);
  }
  return otherwise;
}

std::shared_ptr<spdlog::logger> make(std::string_view role) {
  // Not registered with spdlog: the process may be someone else's and use spdlog itself.
  auto logger =
      std::make_shared<spdlog::logger>("distributed-computing", std::make_shared<spdlog::sinks::stderr_sink_mt>());
  logger->set_pattern(fmt::format("%Y-%m-%d %H:%M:%S.%e {} %l: %v", role));
  return logger;
}

/// One per process: log lines come from everywhere, and stderr is one too.
std::shared_ptr<spdlog::logger>& logger() {
  static std::shared_ptr<spdlog::logger> instance = [] {
    auto quiet = make("distributed-computing");
    quiet->set_level(to_spdlog(level_from_environment(Level::warning)));
    return quiet;
  }();
  return instance;
}

}  // namespace

void set_up(std::string_view role, Level level) {
  auto named = make(role);
  named->set_level(to_spdlog(level_from_environment(level)));
  named->flush_on(spdlog::level::debug);
  logger() = std::move(named);
}

bool enabled(Level level) { return logger()->should_log(to_spdlog(level)); }

void write(Level level, std::string_view text) { logger()->log(to_spdlog(level), "{}", text); }

}  // namespace dc::log
