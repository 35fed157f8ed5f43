// See fallback.hpp.
#include "gpu/fallback.hpp"

#include <fcntl.h>
#include <fmt/format.h>
#include <poll.h>
#include <spawn.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <cctype>
#include <csignal>
#include <cstdlib>
#include <fstream>
#include <thread>

#include "core/paths.hpp"
#include "gpu/files.hpp"

extern char** environ;

namespace dc::gpu {
namespace {

namespace fs = std::filesystem;
constexpr auto smi_patience = std::chrono::seconds(10);
constexpr std::size_t output_bytes_max = 1 << 20;

std::vector<std::vector<std::string>> rows_of(std::string_view csv, std::size_t columns) {
  std::vector<std::vector<std::string>> rows;
  std::stringstream lines{std::string(csv)};
  for (std::string line; std::getline(lines, line);) {
    std::vector<std::string> row;
    std::stringstream fields(line);
    for (std::string field; std::getline(fields, field, ',');) row.push_back(trimmed(field));
    if (row.size() == columns) rows.push_back(std::move(row));
  }
  return rows;
}

/// nvidia-smi says "00000000:3B:00.0", the kernel "0000:3b:00.0".
std::string pci_address(std::string text) {
  std::transform(text.begin(), text.end(), text.begin(), [](unsigned char c) { return std::tolower(c); });
  constexpr std::size_t kernel_length = 12;
  return text.size() > kernel_length ? text.substr(text.size() - kernel_length) : text;
}

std::optional<std::uint32_t> small_number(const std::string& text) {
  const auto number = number_in(text);
  return number ? std::optional(static_cast<std::uint32_t>(*number)) : std::nullopt;
}

/// Reads until the end, the limit or the deadline; true at the end.
bool read_all(int fd, std::chrono::steady_clock::time_point deadline, std::string& text) {
  std::array<char, 4096> buffer{};
  while (text.size() < output_bytes_max) {
    const auto left = std::chrono::ceil<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd readable{fd, POLLIN, 0};
    if (left.count() <= 0 || ::poll(&readable, 1, static_cast<int>(left.count())) <= 0) return false;
    const ssize_t size = ::read(fd, buffer.data(), buffer.size());
    if (size <= 0) return size == 0;
    text.append(buffer.data(), static_cast<std::size_t>(size));
  }
  return false;
}

}  // namespace

Inventory inventory_of_smi(std::string_view gpus, std::string_view processes) {
  Inventory inventory;
  inventory.source = "nvidia-smi";
  for (const auto& row : rows_of(gpus, 8)) {
    Device device;
    device.uuid = device.selector = row[0];
    device.name = row[1];
    device.pci = pci_address(row[2]);
    device.memory_mib = number_in(row[3]).value_or(0);
    device.memory_free_mib = number_in(row[4]).value_or(0);
    device.utilisation_percent = small_number(row[5]);
    device.temperature_c = small_number(row[6]);
    inventory.driver = row[7];
    add_place(device);
    inventory.devices.push_back(std::move(device));
  }
  for (const auto& row : rows_of(processes, 4)) {
    for (Device& device : inventory.devices) {
      if (device.uuid != row[0]) continue;
      const auto pid = static_cast<pid_t>(number_in(row[1]).value_or(0));
      device.holders.push_back(
          {pid, std::max(::getpgid(pid), pid_t{0}), row[2].substr(row[2].rfind('/') + 1), number_in(row[3])});
    }
  }
  number_devices(inventory.devices);
  return inventory;
}

std::optional<std::string> output_of(const std::vector<std::string>& command, std::chrono::milliseconds patience) {
  std::array<int, 2> pipe{};
  if (::pipe2(pipe.data(), O_CLOEXEC) != 0) return std::nullopt;
  posix_spawn_file_actions_t actions;
  ::posix_spawn_file_actions_init(&actions);
  ::posix_spawn_file_actions_adddup2(&actions, pipe[1], STDOUT_FILENO);
  ::posix_spawn_file_actions_addopen(&actions, STDERR_FILENO, "/dev/null", O_WRONLY, 0);
  posix_spawnattr_t attributes;
  ::posix_spawnattr_init(&attributes);
  sigset_t none;
  sigemptyset(&none);
  ::posix_spawnattr_setsigmask(&attributes, &none);
  ::posix_spawnattr_setflags(&attributes, POSIX_SPAWN_SETSIGMASK);
  std::vector<char*> arguments;
  for (const std::string& word : command) arguments.push_back(const_cast<char*>(word.c_str()));
  arguments.push_back(nullptr);
  pid_t pid = 0;
  const bool born = ::posix_spawn(&pid, arguments[0], &actions, &attributes, arguments.data(), environ) == 0;
  ::posix_spawnattr_destroy(&attributes);
  ::posix_spawn_file_actions_destroy(&actions);
  ::close(pipe[1]);
  std::string text;
  const bool whole = born && read_all(pipe[0], std::chrono::steady_clock::now() + patience, text);
  ::close(pipe[0]);
  if (!born) return std::nullopt;
  if (!whole) ::kill(pid, SIGKILL);
  int status = 0;
  // One that hangs in the driver cannot be killed: it is left to the system.
  if (!whole && ::waitpid(pid, &status, WNOHANG) == 0) std::thread([pid] { ::waitpid(pid, nullptr, 0); }).detach();
  if (!whole || ::waitpid(pid, &status, 0) != pid) return std::nullopt;
  return WIFEXITED(status) && WEXITSTATUS(status) == 0 ? std::optional(std::move(text)) : std::nullopt;
}

std::optional<Inventory> ask_smi() {
  const std::string program = paths::on_path("nvidia-smi");
  if (program.empty()) return std::nullopt;
  const auto ask = [&](const std::string& query) {
    return output_of({program, query, "--format=csv,noheader,nounits"}, smi_patience);
  };
  const auto gpus = ask(fmt::format("--query-gpu={}", smi_gpu_fields));
  if (!gpus) return std::nullopt;
  const auto processes = ask(fmt::format("--query-compute-apps={}", smi_process_fields));
  return inventory_of_smi(*gpus, processes.value_or(""));
}

Inventory read_proc(const fs::path& proc) {
  Inventory inventory;
  inventory.source = "/proc/driver/nvidia";
  std::error_code ignored;
  for (const auto& entry : fs::directory_iterator(proc / "driver/nvidia/gpus", ignored)) {
    Device device;
    device.pci = pci_address(entry.path().filename());
    std::ifstream file(entry.path() / "information");
    for (std::string line; std::getline(file, line);) {
      const std::size_t colon = line.find(':');
      if (colon == std::string::npos) continue;
      const std::string what = trimmed(line.substr(0, colon)), value = trimmed(line.substr(colon + 1));
      if (what == "Model") device.name = value;
      if (what == "GPU UUID") device.uuid = device.selector = value;
    }
    // The module does not know the UUID of a card that was never used since it was loaded: "GPU-????????-…".
    if (device.uuid.empty() || device.uuid.find('?') != std::string::npos) {
      inventory.problems.push_back(fmt::format("the GPU at {} is left out: its UUID is not known", device.pci));
      continue;
    }
    add_place(device);
    inventory.devices.push_back(std::move(device));
  }
  number_devices(inventory.devices);
  return inventory;
}

}  // namespace dc::gpu
