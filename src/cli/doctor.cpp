// See doctor.hpp.
#include "cli/doctor.hpp"

#include <fmt/format.h>
#include <fmt/ranges.h>
#include <netdb.h>
#include <poll.h>
#include <sys/resource.h>
#include <sys/socket.h>
#include <sys/statvfs.h>
#include <sys/timex.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <chrono>
#include <cstdio>
#include <cstring>
#include <ctime>
#include <memory>
#include <vector>

#include "cli/options.hpp"
#include "core/limits.hpp"
#include "core/paths.hpp"
#include "core/printable.hpp"
#include "gpu/files.hpp"
#include "gpu/masks.hpp"
#include "gpu/source.hpp"
#include "gpu/watch.hpp"
#include "net/session.hpp"

namespace dc::cli {
namespace {

constexpr rlim_t open_files_needed = 4096;
constexpr std::uint64_t shared_memory_small = std::uint64_t{64} << 20;  ///< what Docker gives a container
constexpr auto connect_patience = std::chrono::seconds(5);
constexpr int earliest_year = 2024;

enum class Verdict { fine, remark, wrong };

/// Gathers what is found, and shows it in the order in which it was.
class Report {
 public:
  void fine(const std::string& what, const std::string& text) { add(Verdict::fine, what, text); }
  void remark(const std::string& what, const std::string& text) { add(Verdict::remark, what, text); }
  void wrong(const std::string& what, const std::string& text) {
    add(Verdict::wrong, what, text);
    ++wrong_;
  }
  [[nodiscard]] int count_of_wrong() const { return wrong_; }

 private:
  static void add(Verdict verdict, const std::string& what, const std::string& text) {
    const char* sign = verdict == Verdict::fine ? "ok     " : verdict == Verdict::remark ? "note   " : "WRONG  ";
    // Names of other users' processes may stand in it.
    fmt::print("{}{:<10} {}\n", sign, what, printable(text, limits::log_line_bytes_max));
  }
  int wrong_ = 0;
};

// --- GPUs -------------------------------------------------------------------------------------------------------

std::string holders_of(const gpu::Device& device) {
  std::vector<std::string> names;
  for (const gpu::Holder& holder : device.holders) names.push_back(gpu::text_of(holder));
  return fmt::format("{}", fmt::join(names, ", "));
}

void look_at_device(const gpu::Device& device, Report& report) {
  const std::string place = device.pci.empty() ? "" : " at " + device.pci;
  const std::string name = fmt::format("{} {} ({}){}", device.index, device.name, device.uuid, place);
  if (!device.lost.empty()) {
    return report.wrong(
        "GPU", fmt::format("{}: {}: it comes back with a reset (nvidia-smi -r) or a restart of the machine", name,
                           device.lost));
  }
  if (device.memory_mib == 0) return report.remark("GPU", fmt::format("{}: its memory is not known", name));
  std::string text = fmt::format("{}: {}", name, gpu::readings_of(device));
  if (device.numa_node) text += fmt::format(", near NUMA node {}", *device.numa_node);
  if (!device.holders.empty()) text += fmt::format(", held by {}", holders_of(device));
  if (2 * device.memory_free_mib < device.memory_mib)
    return report.remark("GPU", fmt::format("{}: a node does not use it until more than half is free", text));
  report.fine("GPU", text);
}

void look_at_masks(const gpu::Inventory& inventory, Report& report) {
  const gpu::Masks masks = gpu::masks_of_environment();
  const auto look = [&](gpu::Vendor vendor, const char* name, const std::optional<std::string>& mask) {
    if (!mask) return;
    if (gpu::of_the_other_vendor(inventory.devices, masks, vendor)) {
      const std::string text = fmt::format("{}={} says nothing here: there is no GPU of that kind", name, *mask);
      return report.remark("mask", text);
    }
    std::string problem;
    const auto places = gpu::masked(inventory.devices, vendor, mask, problem);
    std::vector<std::string> uuids;
    for (const std::size_t place : places) uuids.push_back(inventory.devices[place].uuid);
    if (!problem.empty()) return report.wrong("mask", problem);
    const std::string shown = uuids.empty() ? "no device" : fmt::format("{}", fmt::join(uuids, ", "));
    const std::string text = fmt::format("{}={} lets a node use {}", name, *mask, shown);
    uuids.empty() ? report.remark("mask", text) : report.fine("mask", text);
  };
  look(gpu::Vendor::nvidia, "CUDA_VISIBLE_DEVICES", masks.cuda);
  look(gpu::Vendor::amd, "ROCR_VISIBLE_DEVICES", masks.rocr);
  if (masks.hip)
    report.remark("mask",
                  fmt::format("HIP_VISIBLE_DEVICES={} is left alone: it picks from what a worker sees, which is "
                              "one device with index 0",
                              *masks.hip));
}

void look_at_gpus(Report& report) {
  gpu::Watch watch;
  const auto seen = watch.first(limits::first_look_patience);
  if (!seen) {
    report.wrong("driver",
                 fmt::format("the GPU driver does not answer ({} s): does nvidia-smi? See `dmesg | grep -i "
                             "xid`; a restart of the machine helps most often",
                             std::chrono::duration_cast<std::chrono::seconds>(limits::first_look_patience).count()));
  }
  const gpu::Inventory inventory = seen ? *seen : gpu::read_without_driver();
  if (!inventory.devices.empty()) {
    report.fine("driver",
                fmt::format("{} device{} by {}{}", inventory.devices.size(), inventory.devices.size() == 1 ? "" : "s",
                            inventory.source, inventory.driver.empty() ? "" : ", version " + inventory.driver));
  }
  for (const std::string& problem : inventory.problems) report.wrong("driver", problem);
  for (const std::string& remark : inventory.remarks) report.remark("driver", remark);
  const auto cards = gpu::cards_in_slots({gpu::vendor_nvidia, gpu::vendor_amd});
  const bool explained = !inventory.problems.empty() || !inventory.remarks.empty();
  if (inventory.devices.empty() && !cards.empty() && seen && !explained) {
    report.wrong("driver",
                 fmt::format("there is a card at {}, and no driver tells of it: install the driver, or start the "
                             "container with its GPUs (docker run --gpus all)",
                             fmt::join(cards, ", ")));
  } else if (inventory.devices.empty() && seen) {
    report.remark("GPU", "none: a node has one slot per core");
  }
  for (const gpu::Device& device : inventory.devices) {
    if (!device.only_if_named) look_at_device(device, report);
  }
  look_at_masks(inventory, report);
}

// --- The way to the head ----------------------------------------------------------------------------------------

/// Empty when something answers there; else why not.
std::string why_not_reachable(const std::string& address, std::uint16_t port) {
  addrinfo hints{};
  hints.ai_socktype = SOCK_STREAM;
  addrinfo* found = nullptr;
  if (const int code = ::getaddrinfo(address.c_str(), std::to_string(port).c_str(), &hints, &found); code != 0)
    return ::gai_strerror(code);
  const std::unique_ptr<addrinfo, decltype(&::freeaddrinfo)> all(found, ::freeaddrinfo);
  std::string why;
  for (const addrinfo* one = found; one; one = one->ai_next) {
    const int fd = ::socket(one->ai_family, one->ai_socktype | SOCK_NONBLOCK | SOCK_CLOEXEC, one->ai_protocol);
    int error = 0;
    if (::connect(fd, one->ai_addr, one->ai_addrlen) != 0) error = errno;
    if (error == EINPROGRESS) {
      pollfd writable{fd, POLLOUT, 0};
      const auto patience = std::chrono::duration_cast<std::chrono::milliseconds>(connect_patience);
      socklen_t size = sizeof error;
      error = ETIMEDOUT;
      if (::poll(&writable, 1, static_cast<int>(patience.count())) == 1)
        ::getsockopt(fd, SOL_SOCKET, SO_ERROR, &error, &size);
    }
    if (fd >= 0) ::close(fd);
    if (error == 0) return {};
    why = std::strerror(error);
  }
  return why;
}

void look_at_network(const DoctorOptions& options, Report& report) {
  const std::string address = net::reachable_address();
  if (address.starts_with("127."))
    report.remark("address", "this machine has no address but 127.0.0.1: a head here serves this machine alone");
  else
    report.fine("address", fmt::format("other machines most likely reach this one at {}", address));
  const std::string why = why_not_reachable(options.address, options.port);
  const std::string head = fmt::format("{}:{}", options.address, options.port);
  if (why.empty())
    report.fine(
        "port",
        fmt::format("something listens at {}; `distributed-computing status` shows whether it is a head", head));
  else if (options.address == "localhost" || options.address.starts_with("127."))
    report.fine("port", fmt::format("{} is free for a head ({})", head, why));
  else
    report.wrong("port", fmt::format("{} cannot be reached ({}): does the head run, is the address right, and does a "
                                     "firewall let port {} through?",
                                     head, why, options.port));
}

// --- The machine ------------------------------------------------------------------------------------------------

void look_at_clock(Report& report) {
  const std::time_t now = std::time(nullptr);
  std::tm date{};
  ::gmtime_r(&now, &date);
  timex state{};
  const int code = ::adjtimex(&state);
  const int year = date.tm_year + 1900;
  if (year < earliest_year)
    report.wrong("clock", fmt::format("it shows the year {}: set it, or start a time service", year));
  else if (code < 0 || code == TIME_ERROR)
    report.remark("clock",
                  "no time service sets it; jobs do not depend on it, but the logs of machines will not match");
  else
    report.fine("clock", "set by a time service");
}

void look_at_limits(Report& report) {
  rlimit files{};
  ::getrlimit(RLIMIT_NOFILE, &files);
  if (files.rlim_max < open_files_needed)
    report.wrong("limits", fmt::format("a process may open {} files, and {} are needed: raise it in "
                                       "/etc/security/limits.conf (nofile), or LimitNOFILE= of the service",
                                       files.rlim_max, open_files_needed));
  else
    report.fine("limits", fmt::format("a process may open {} files", files.rlim_max));
  struct statvfs shared {};
  if (::statvfs("/dev/shm", &shared) != 0)
    return report.remark(
        "limits", fmt::format("/dev/shm is not there ({}): data loaders of PyTorch need it", std::strerror(errno)));
  const std::uint64_t bytes = std::uint64_t{shared.f_blocks} * shared.f_frsize;
  const std::string text = fmt::format("/dev/shm has {} MiB", bytes >> 20);
  if (bytes <= shared_memory_small)
    report.remark("limits", text + ": data loaders of PyTorch need more (docker run --shm-size=8g)");
  else
    report.fine("limits", text);
}

void look_at_files(Report& report) {
  for (const std::string& folder : {paths::run_dir(), paths::state_dir(), paths::cache_dir()}) {
    const std::string problem = paths::make_private_dir(folder);
    problem.empty() ? report.fine("files", folder) : report.wrong("files", problem);
  }
  const std::string python = find_python();
  if (python.empty())
    report.remark("python", "there is no python3: workers of Python pools cannot start here; --python names one");
  else
    report.fine("python",
                fmt::format("workers run {}, on {} core{}", python, usable_cores(), usable_cores() == 1 ? "" : "s"));
}

}  // namespace

int doctor(const DoctorOptions& options) {
  Report report;
  look_at_gpus(report);
  look_at_network(options, report);
  look_at_clock(report);
  look_at_limits(report);
  look_at_files(report);
  const int wrong = report.count_of_wrong();
  if (wrong == 0)
    fmt::print("\nNothing is wrong.\n");
  else
    fmt::print("\n{} thing{} wrong.\n", wrong, wrong == 1 ? " is" : "s are");
  std::fflush(stdout);
  return wrong == 0 ? 0 : 1;
}

}  // namespace dc::cli
