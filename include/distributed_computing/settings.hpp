// How a pool is opened.
#pragma once

#include <chrono>
#include <concepts>
#include <cstdint>
#include <functional>
#include <map>
#include <stdexcept>
#include <string>
#include <string_view>

namespace dc {

/// What a worker needs.
enum class Device : std::uint8_t {
  any = 0,
  gpu = 1,
  cpu = 2,  ///< a slot without a GPU
};

/// GPU memory: a whole number of MiB, or a text such as "12GB" (12 * 10^9 bytes), "12GiB" or "512MB", rounded up to
/// MiB. Anything else throws std::invalid_argument.
class GpuMemory {
 public:
  GpuMemory() = default;
  template <std::integral Integer>
  GpuMemory(Integer mebibytes) : mebibytes_(static_cast<std::uint64_t>(mebibytes)) {
    if constexpr (std::signed_integral<Integer>) {
      if (mebibytes < 0) throw std::invalid_argument("min_gpu_memory_required must be 0 MiB or more");
    }
  }
  GpuMemory(const char* text) : GpuMemory(std::string_view(text)) {}
  GpuMemory(const std::string& text) : GpuMemory(std::string_view(text)) {}
  GpuMemory(std::string_view text);

  [[nodiscard]] std::uint64_t mebibytes() const { return mebibytes_; }

 private:
  std::uint64_t mebibytes_ = 0;
};

/// Which of the lines that workers print are shown.
enum class Output : std::uint8_t {
  none = 0,
  all = 1,
  errors = 2,  ///< those of jobs that failed (and of updates and constructors)
};

/// An Output, or true for all and false for none.
class ShowOutput {
 public:
  constexpr ShowOutput(Output which) : which_(which) {}
  template <std::same_as<bool> Bool>
  constexpr ShowOutput(Bool all) : which_(all ? Output::all : Output::none) {}
  [[nodiscard]] constexpr Output which() const { return which_; }

 private:
  Output which_;
};

/// A line that a worker printed.
struct OutputLine {
  std::string text;
  std::string host;
  std::uint32_t slot{};
  bool on_stderr = false;  ///< else on stdout
};

/// First argument of Pool's constructor; use designated initialisers: Pool<Worker>({.password = "123456"}).
struct PoolSettings {
  std::string password;  ///< of the head
  /// Of the head: a name or a number; or several, "host1,host2:8900,[::1]:8900", of which one is the head and others
  /// may take over from it.
  std::string address = "localhost";
  std::uint16_t port = 8899;  ///< of the head; of addresses that name none
  /// Of the head's key, as the head shows it ("sha256:…"), or several with commas; empty: the key that was seen first
  /// at each address.
  std::string fingerprint = {};
  /// A pool with a name outlives this program, and any program goes on with it: see Pool::attach. Empty: the pool ends
  /// with this program.
  std::string name = {};
  bool steal = false;                        ///< take the named pool from the program that has it
  double weight = 1.0;                       ///< share of the slots beside other pools, relative to theirs: 0.01 to 100
  std::chrono::milliseconds job_timeout{0};  ///< a job may run so long; 0: no limit
  std::chrono::milliseconds init_timeout{0};    ///< the constructor may take so long; 0: no limit
  std::chrono::milliseconds update_timeout{0};  ///< handle_update may take so long; 0: no limit
  std::uint32_t max_retries = 3;                ///< workers that may die with a job until it ends in WorkerDied
  /// The pool is there when so many workers are ready, and keeps them even while there are no jobs, as far as its fair
  /// share goes. 0: it does not wait for workers.
  std::uint32_t min_workers = 0;
  /// GPU memory that a worker needs, in MiB or as a text such as "12GB"; 0: any slot will do. Smaller GPUs are not
  /// used, nor one with less free.
  GpuMemory min_gpu_memory_required = 0;
  Device device = Device::any;        ///< what kind of slot a worker needs
  std::uint32_t gpus_per_worker = 1;  ///< so many different GPUs of one node make up a worker
  /// Workers that start later first get all earlier updates. Without it, an update reaches the workers that are there
  /// or starting, or the first one ever while there was none; later ones do not get earlier updates.
  bool keep_updates_history = true;
  bool retry_exceptions = false;  ///< a job whose run threw is tried again, under max_retries
  /// What the workers print is shown on stdout and stderr, each line behind "[host/slot]"; 200 lines a second of each
  /// node, with a count of the others.
  ShowOutput show_output = true;
  /// Gets the lines instead, one after the other on a thread of the pool. What it throws is told on stderr.
  std::function<void(const OutputLine&)> on_output = {};
  std::chrono::milliseconds connect_timeout{10'000};  ///< wait so long for the head at first
  /// Variables that are set in the workers, beside and before those of their node's environment. Not those that show a
  /// worker its devices (CUDA_VISIBLE_DEVICES, …) and DISTRIBUTED_COMPUTING_…: std::invalid_argument.
  std::map<std::string, std::string> env = {};
  /// Threads that OpenMP, MKL, OpenBLAS, BLIS and NumExpr have in a worker; 0: its share of the node's cores, unless
  /// variables of the node's environment say otherwise.
  std::uint32_t threads_per_worker = 0;
  std::chrono::milliseconds workers_timeout{0};  ///< wait so long for min_workers; 0: for ever
};

}  // namespace dc
