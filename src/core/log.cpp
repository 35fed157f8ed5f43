// Log lines through spdlog; see log.hpp.
#include "core/log.hpp"

#include <spdlog/sinks/base_sink.h>
#include <spdlog/spdlog.h>

#include <array>
#include <chrono>
#include <csignal>
#include <cstdlib>
#include <exception>
#include <memory>
#include <mutex>
#include <optional>
#include <string>
#include <utility>

#include "core/check.hpp"
#include "core/limits.hpp"
#include "core/output.hpp"
#include "core/text_pace.hpp"
#include "core/printable.hpp"

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

/// Hands lines to the thread that writes them: whoever logs never waits for a reader of stderr.
class Sink final : public spdlog::sinks::base_sink<std::mutex> {
  void sink_it_(const spdlog::details::log_msg& message) override {
    spdlog::memory_buf_t line;
    formatter_->format(message, line);
    output::to_stderr(std::string(line.data(), line.size()));
  }
  void flush_() override {}
};

std::shared_ptr<spdlog::logger> make(std::string_view role) {
  // Not registered with spdlog: the process may be someone else's and use spdlog itself.
  auto logger = std::make_shared<spdlog::logger>("distributed-computing", std::make_shared<Sink>());
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

// Last words still come out, when somebody reads them.

void before_abort(int signal) {
  output::flush();
  ::raise(signal);  // by SA_RESETHAND this is the end
}

[[noreturn]] void terminated() {
  std::string why = "without an exception";
  try {
    if (const auto error = std::current_exception()) std::rethrow_exception(error);
  } catch (const std::exception& error) {
    why = error.what();
  } catch (...) {
    why = "by an exception of an unknown type";
  }
  output::to_stderr(bug_line("terminated: " + why));
  output::flush();
  std::abort();
}

/// Keeps peers that come and go, or open and close pools, from filling a disk with lines about it: how many lines were
/// left out before this one, or nothing when this one is too many.
std::optional<std::size_t> admitted() {
  static std::mutex mutex;
  static TextPace pace(limits::log_lines_at_once, limits::log_lines_per_second);
  const std::lock_guard lock(mutex);
  return pace.admit(std::chrono::steady_clock::now());
}

}  // namespace

void set_up(std::string_view role, Level level) {
  auto named = make(role);
  named->set_level(to_spdlog(level_from_environment(level)));
  logger() = std::move(named);
  std::set_terminate(terminated);
  struct sigaction action {};
  action.sa_handler = before_abort;
  action.sa_flags = static_cast<int>(SA_RESETHAND);
  ::sigaction(SIGABRT, &action, nullptr);
}

bool enabled(Level level) { return logger()->should_log(to_spdlog(level)); }

void write(Level level, std::string_view text) {
  if (level <= Level::info) {
    const auto left_out = admitted();
    if (!left_out) return;
    if (*left_out > 0) logger()->log(to_spdlog(Level::info), "({} lines are left out: there were too many)", *left_out);
  }
  logger()->log(to_spdlog(level), "{}", printable(text, limits::log_line_bytes_max));
}

}  // namespace dc::log
