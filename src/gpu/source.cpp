// See source.hpp.
#include "gpu/source.hpp"

#include <thread>
#include <utility>

#include "gpu/amd.hpp"
#include "gpu/files.hpp"
#include "gpu/nvidia_proc.hpp"

namespace dc::gpu {
namespace {

void append(Inventory& all, Inventory&& more) {
  if (!more.devices.empty()) {
    all.source += (all.source.empty() ? "" : ", ") + more.source;
    if (all.driver.empty()) all.driver = std::move(more.driver);
  }
  for (Device& device : more.devices) all.devices.push_back(std::move(device));
  for (std::string& problem : more.problems) all.problems.push_back(std::move(problem));
  for (std::string& remark : more.remarks) all.remarks.push_back(std::move(remark));
}

}  // namespace

/// Machines without a card often have the library.
void Source::complain(const std::string& why) {
  std::error_code ignored;
  const bool has_card =
      !cards_in_slots({vendor_nvidia}).empty() || std::filesystem::exists("/proc/driver/nvidia", ignored);
  (has_card ? problem_ : remark_) = (has_card ? "" : "there is no card of NVIDIA here; ") + why;
}

Inventory Source::read_nvidia() {
  if (!std::exchange(decided_, true)) {
    auto loaded = Nvml::load();
    if (loaded) {
      nvml_ = std::move(loaded.value());
    } else if (loaded.error().code != ErrorCode::not_found) {
      complain(loaded.error().message);
    }
  }
  return nvml_ ? nvml_->read() : read_proc();
}

Inventory Source::read() {
  Inventory all;
  all.taken_at = std::chrono::steady_clock::now();
  Inventory nvidia = read_nvidia();
  all.answered = nvidia.answered;
  if (!problem_.empty()) all.problems.push_back(problem_);
  if (!remark_.empty()) all.remarks.push_back(remark_);
  append(all, std::move(nvidia));
  append(all, read_amd(sysfs()));
  return all;
}

bool Source::pause(std::chrono::milliseconds time) {
  const auto end = std::chrono::steady_clock::now() + time;
  if (nvml_ && nvml_->reports_faults() && nvml_->wait_for_fault(time)) return true;
  std::this_thread::sleep_until(end);  // a driver that has nothing to wait for comes back at once
  return false;
}

Inventory read_without_driver() {
  Inventory all;
  append(all, read_proc());
  append(all, read_amd(sysfs()));
  return all;
}

}  // namespace dc::gpu
