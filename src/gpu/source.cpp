// See source.hpp.
#include "gpu/source.hpp"

#include <thread>
#include <utility>

#include "gpu/amd.hpp"
#include "gpu/fallback.hpp"
#include "gpu/files.hpp"

namespace dc::gpu {
namespace {

using namespace std::chrono_literals;

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

Inventory Source::read_nvidia() {
  if (way_ == Way::undecided) {
    auto loaded = Nvml::load();
    if (loaded) {
      nvml_ = std::move(loaded.value());
      way_ = Way::nvml;
    } else {
      if (loaded.error().code != ErrorCode::not_found) complaint_ = loaded.error().message;
      std::error_code ignored;
      has_card_ = !cards_in_slots({vendor_nvidia}).empty() || std::filesystem::exists("/proc/driver/nvidia", ignored);
      way_ = Way::smi;
    }
  }
  if (way_ == Way::nvml) return nvml_->read();
  if (way_ == Way::smi) {
    if (auto answer = ask_smi()) return std::move(*answer);
    way_ = Way::proc;
  }
  return read_proc();
}

Inventory Source::read() {
  Inventory all;
  all.taken_at = std::chrono::steady_clock::now();
  Inventory nvidia = read_nvidia();
  all.answered = nvidia.answered;
  if (!complaint_.empty() && has_card_) all.problems.push_back(complaint_);
  if (!complaint_.empty() && !has_card_) all.remarks.push_back("there is no card of NVIDIA here; " + complaint_);
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

std::chrono::milliseconds Source::interval() const {
  return way_ == Way::smi ? 10s : 2s;  // nvidia-smi wakes cards that sleep, and takes its time
}

Inventory read_without_driver() {
  Inventory all;
  append(all, read_proc());
  append(all, read_amd(sysfs()));
  return all;
}

}  // namespace dc::gpu
