// A stand-in for NVIDIA's libnvidia-ml.so: its devices stand in the file that FAKE_NVML_FILE names, which is read again
// at each call, so that a test changes them under a running node. A line each, in the order of NVML's indices:
//   driver VERSION
//   gpu UUID [name=A_B] [pci=0000:3b:00.0] [memory=MIB] [used=MIB] [temperature=C] [use=PERCENT] [cpus=0,1] [mig=1]
//       [lost=1]: every question about it is answered "lost"; [errors=N]: uncorrected memory errors
//       [kept_away=1]: this process may not use it; [node=N]: its memory is a NUMA node; without memory: it has none
//   mig PARENT_UUID UUID [name=...] [memory=MIB] [used=MIB] [place=gi/ci]
//   process UUID PID [memory=MIB] [name=...]      without memory: it is not told
//   xid UUID NUMBER [instance=GI]                 reported once for each such line
//   fail FUNCTION CODE                            the call returns this
//   hang FUNCTION                                 the call does not return while the line is there
// "_" in a name stands for a blank.
#include <chrono>
#include <cstdio>
#include <cstdlib>
#include <cstring>
#include <fstream>
#include <map>
#include <mutex>
#include <sstream>
#include <string>
#include <thread>
#include <vector>

#include "gpu/nvml_api.hpp"

namespace {

using namespace dc::gpu::nvml;
constexpr Return invalid_argument = 2, not_found = 6, insufficient_size = 7, timed_out = 10;

struct Line {
  std::vector<std::string> words;
  std::map<std::string, std::string> values;
  [[nodiscard]] std::string text(const char* key) const {
    const auto found = values.find(key);
    std::string value = found == values.end() ? "" : found->second;
    for (char& letter : value) letter = letter == '_' ? ' ' : letter;
    return value;
  }
  [[nodiscard]] bool has(const char* key) const { return values.contains(key); }
  [[nodiscard]] unsigned long long number(const char* key) const {
    return std::strtoull(text(key).c_str(), nullptr, 10);
  }
};

std::vector<Line> lines_of(const char* kind) {
  const char* path = std::getenv("FAKE_NVML_FILE");
  std::ifstream file(path ? path : "");
  std::vector<Line> lines;
  for (std::string text; std::getline(file, text);) {
    Line line;
    std::stringstream words(text);
    for (std::string word; words >> word;) {
      const std::size_t equals = word.find('=');
      if (equals == std::string::npos)
        line.words.push_back(word);
      else
        line.values[word.substr(0, equals)] = word.substr(equals + 1);
    }
    if (!line.words.empty() && line.words[0] == kind) lines.push_back(line);
  }
  return lines;
}

/// A device's handle is the address of its UUID, which stays where it is.
std::mutex mutex;
Handle handle_of(const std::string& uuid) {
  // Never destroyed: a thread that hangs may come back while the process ends.
  static auto& known = *new std::map<std::string, int>;
  const std::lock_guard lock(mutex);
  return reinterpret_cast<Handle>(const_cast<std::string*>(&known.emplace(uuid, 0).first->first));
}
const std::string& uuid_of(Handle handle) { return *reinterpret_cast<const std::string*>(handle); }

/// What every call does first: it hangs, or fails, if the file says so.
Return begin(const char* function) {
  const auto hangs = [&] {
    for (const Line& line : lines_of("hang")) {
      if (line.words.at(1) == function) return true;
    }
    return false;
  };
  while (hangs()) std::this_thread::sleep_for(std::chrono::milliseconds(20));
  for (const Line& line : lines_of("fail")) {
    if (line.words.at(1) == function) return std::atoi(line.words.at(2).c_str());
  }
  return success;
}

Return find(Handle handle, Line& found) {
  for (const char* kind : {"gpu", "mig"}) {
    for (const Line& line : lines_of(kind)) {
      const bool whole = line.words[0] == "gpu";
      if (line.words.at(whole ? 1 : 2) != uuid_of(handle)) continue;
      found = line;
      return line.has("lost") ? gpu_is_lost : success;
    }
  }
  return gpu_is_lost;
}

void copy(char* to, unsigned size, const std::string& text) { std::snprintf(to, size, "%s", text.c_str()); }

#define BEGIN() \
  if (const Return code = begin(__func__); code != success) return code
#define BEGIN_WITH(handle, line) \
  BEGIN();                       \
  Line line;                     \
  if (const Return code = find(handle, line); code != success) return code

}  // namespace

extern "C" {

Return nvmlInit_v2() {
  BEGIN();
  return success;
}
Return nvmlShutdown() { return success; }

const char* nvmlErrorString(Return code) {
  switch (code) {
    case driver_not_loaded:
      return "Driver Not Loaded";
    case gpu_is_lost:
      return "GPU is lost";
    case version_mismatch:
      return "Driver/library version mismatch";
    default:
      return "Unknown Error";
  }
}

Return nvmlSystemGetDriverVersion(char* version, unsigned size) {
  BEGIN();
  const auto lines = lines_of("driver");
  copy(version, size, lines.empty() ? "535.0" : lines[0].words.at(1));
  return success;
}

Return nvmlSystemGetProcessName(unsigned pid, char* name, unsigned size) {
  BEGIN();
  for (const Line& line : lines_of("process")) {
    if (line.words.at(2) != std::to_string(pid)) continue;
    copy(name, size, line.text("name"));
    return success;
  }
  return not_found;
}

Return nvmlDeviceGetCount_v2(unsigned* count) {
  BEGIN();
  *count = static_cast<unsigned>(lines_of("gpu").size());
  return success;
}

Return nvmlDeviceGetHandleByIndex_v2(unsigned index, Handle* handle) {
  BEGIN();
  const auto gpus = lines_of("gpu");
  if (index >= gpus.size()) return invalid_argument;
  if (gpus[index].has("kept_away")) return no_permission;
  *handle = handle_of(gpus[index].words.at(1));
  return success;
}

Return nvmlDeviceGetUUID(Handle handle, char* uuid, unsigned size) {
  BEGIN();
  copy(uuid, size, uuid_of(handle));
  return success;
}

Return nvmlDeviceGetName(Handle handle, char* name, unsigned size) {
  BEGIN_WITH(handle, line);
  copy(name, size, line.has("name") ? line.text("name") : "Fake GPU");
  return success;
}

Return nvmlDeviceGetPciInfo_v3(Handle handle, PciInfo* info) {
  BEGIN();
  Line line;
  find(handle, line);
  if (!line.has("pci")) return not_supported;
  std::sscanf(line.text("pci").c_str(), "%x:%x:%x", &info->domain, &info->bus, &info->device);
  copy(info->bus_id, sizeof info->bus_id, line.text("pci"));
  return success;
}

Return nvmlDeviceGetMemoryInfo(Handle handle, Memory* memory) {
  BEGIN_WITH(handle, line);
  if (!line.has("memory")) return not_supported;
  memory->total = line.number("memory") << 20;
  memory->used = line.number("used") << 20;
  memory->free = memory->total - memory->used;
  return success;
}

Return nvmlDeviceGetUtilizationRates(Handle handle, Utilization* use) {
  BEGIN_WITH(handle, line);
  if (!line.has("use")) return not_supported;
  use->gpu = static_cast<unsigned>(line.number("use"));
  return success;
}

Return nvmlDeviceGetTemperature(Handle handle, int, unsigned* celsius) {
  BEGIN_WITH(handle, line);
  if (!line.has("temperature")) return not_supported;
  *celsius = static_cast<unsigned>(line.number("temperature"));
  return success;
}

Return nvmlDeviceGetComputeRunningProcesses_v2(Handle handle, unsigned* count, ProcessInfo* list) {
  BEGIN_WITH(handle, line);
  std::vector<ProcessInfo> all;
  for (const Line& process : lines_of("process")) {
    if (process.words.at(1) != uuid_of(handle)) continue;
    const auto used = process.has("memory") ? process.number("memory") << 20 : not_available;
    all.push_back({static_cast<unsigned>(std::atoi(process.words.at(2).c_str())), used, 0, 0});
  }
  const bool fits = all.size() <= *count;
  *count = static_cast<unsigned>(all.size());
  if (!fits) return insufficient_size;
  std::copy(all.begin(), all.end(), list);
  return success;
}

Return nvmlDeviceGetComputeRunningProcesses_v3(Handle handle, unsigned* count, ProcessInfo* list) {
  return nvmlDeviceGetComputeRunningProcesses_v2(handle, count, list);
}

Return nvmlDeviceGetMigMode(Handle handle, unsigned* current, unsigned* pending) {
  BEGIN_WITH(handle, line);
  *current = *pending = line.has("mig") ? 1 : 0;
  return success;
}

Return nvmlDeviceGetMaxMigDeviceCount(Handle handle, unsigned* count) {
  BEGIN_WITH(handle, line);
  *count = 7;
  return success;
}

Return nvmlDeviceGetMigDeviceHandleByIndex(Handle gpu, unsigned index, Handle* handle) {
  BEGIN();
  for (const Line& line : lines_of("mig")) {
    if (line.words.at(1) != uuid_of(gpu) || index-- != 0) continue;
    *handle = handle_of(line.words.at(2));
    return success;
  }
  return not_found;
}

Return nvmlDeviceGetGpuInstanceId(Handle handle, unsigned* id) {
  BEGIN_WITH(handle, line);
  *id = static_cast<unsigned>(line.number("place"));
  return success;
}

Return nvmlDeviceGetComputeInstanceId(Handle handle, unsigned* id) {
  BEGIN_WITH(handle, line);
  const std::string place = line.text("place");
  *id = static_cast<unsigned>(std::atoi(place.c_str() + (place.find('/') + 1)));
  return success;
}

Return nvmlDeviceGetCpuAffinity(Handle handle, unsigned, unsigned long* words) {
  BEGIN_WITH(handle, line);
  if (!line.has("cpus")) return not_supported;
  std::stringstream cpus(line.text("cpus"));
  for (std::string cpu; std::getline(cpus, cpu, ',');) words[0] |= 1UL << std::atoi(cpu.c_str());
  return success;
}

Return nvmlDeviceGetNumaNodeId(Handle handle, unsigned* node) {
  BEGIN_WITH(handle, line);
  if (!line.has("node")) return not_supported;
  *node = static_cast<unsigned>(line.number("node"));
  return success;
}

Return nvmlDeviceGetTotalEccErrors(Handle handle, int, int, unsigned long long* count) {
  BEGIN_WITH(handle, line);
  *count = line.number("errors");
  return success;
}

Return nvmlEventSetCreate(EventSet* set) {
  BEGIN();
  *set = reinterpret_cast<EventSet>(new std::size_t(0));
  return success;
}
Return nvmlDeviceRegisterEvents(Handle, unsigned long long, EventSet) { return success; }

/// The set counts the lines that it has reported.
Return nvmlEventSetWait_v2(EventSet set, EventData* event, unsigned milliseconds) {
  BEGIN();
  std::size_t& reported = *reinterpret_cast<std::size_t*>(set);
  const auto lines = lines_of("xid");
  if (lines.size() <= reported) {
    std::this_thread::sleep_for(std::chrono::milliseconds(milliseconds));
    return timed_out;
  }
  const Line& line = lines[reported++];
  const unsigned instance = line.has("instance") ? static_cast<unsigned>(line.number("instance")) : no_instance;
  const auto xid = std::strtoull(line.words.at(2).c_str(), nullptr, 10);
  *event = {handle_of(line.words.at(1)), event_xid, xid, instance, no_instance};
  return success;
}
Return nvmlEventSetFree(EventSet set) {
  delete reinterpret_cast<std::size_t*>(set);
  return success;
}

}  // extern "C"
