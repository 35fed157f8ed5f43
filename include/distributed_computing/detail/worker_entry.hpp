// What the macro DISTRIBUTED_COMPUTING_WORKER and dc::initialize() need of the worker runtime. Not for users.
#pragma once

#include <memory>
#include <msgpack.hpp>
#include <stdexcept>
#include <string>
#include <string_view>

namespace dc::detail {

/// The arguments in a message do not fit the signature of run, handle_update or the constructor.
struct BadArguments : std::runtime_error {
  using std::runtime_error::runtime_error;
};

/// A user's object behind MessagePack.
class WorkerObject {
 public:
  virtual ~WorkerObject() = default;
  virtual std::string run(std::string_view arguments) = 0;
  virtual void update(std::string_view arguments) = 0;
};

/// Builds the object from the array of its constructor's arguments.
using WorkerFactory = std::unique_ptr<WorkerObject> (*)(const msgpack::object& arguments);

bool register_worker(const char* name, WorkerFactory factory);

/// True in a process that a node has started to be a worker.
bool in_worker_process();
/// Serves the node and ends the process.
[[noreturn]] void worker_main();

/// Specialised by DISTRIBUTED_COMPUTING_WORKER: `static constexpr const char* name`.
template <class Worker>
struct Registration;

}  // namespace dc::detail
