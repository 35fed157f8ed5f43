// Worker classes written in C++: the registry, and the bridge from the runtime to the user's object.
#include <cxxabi.h>
#include <fmt/format.h>
#include <sys/socket.h>

#include <csignal>
#include <cstdlib>
#include <iostream>
#include <map>

#include "distributed_computing/detail/worker_entry.hpp"
#include "wire/claims.hpp"
#include "worker/runtime.hpp"

namespace dc::detail {
namespace {

std::map<std::string, WorkerFactory>& registry() {
  static std::map<std::string, WorkerFactory> classes;
  return classes;
}

std::string type_name_of(const std::exception& error) {
  int status = 0;
  char* name = abi::__cxa_demangle(typeid(error).name(), nullptr, nullptr, &status);
  std::string result = status == 0 && name ? name : typeid(error).name();
  std::free(name);
  return result;
}

/// what() of a class of the user's may be null.
const char* text_of(const std::exception& error) {
  const char* text = error.what();
  return text ? text : "";
}

class CppRunner final : public worker::JobRunner {
 public:
  CppRunner(std::unique_ptr<WorkerObject> object, std::string host, std::uint32_t slot)
      : object_(std::move(object)), host_(std::move(host)), slot_(slot) {}

  Outcome run(Payload arguments) override {
    try {
      return {Payload(object_->run(arguments.view())), {}};
    } catch (const BadArguments& error) {
      return failed(ErrorKind::serialization, error.what(), "msgpack::type_error");
    } catch (const std::exception& error) {
      return failed(ErrorKind::job_error, text_of(error), type_name_of(error));
    } catch (...) {
      return failed(ErrorKind::job_error, "run threw something that is no std::exception", "");
    }
  }

  Outcome update(Payload payload) override {
    try {
      object_->update(payload.view());
      return {};
    } catch (const BadArguments& error) {
      return failed(ErrorKind::serialization, error.what(), "msgpack::type_error");
    } catch (const std::exception& error) {
      return failed(ErrorKind::job_error, text_of(error), type_name_of(error));
    } catch (...) {
      return failed(ErrorKind::job_error, "handle_update threw something that is no std::exception", "");
    }
  }

  /// A handler of the class's for SIGTERM may end the process itself.
  void close(bool terminated) override {
    struct sigaction action {};
    const bool asked = ::sigaction(SIGTERM, nullptr, &action) == 0;
    const bool has_handler =
        (action.sa_flags & SA_SIGINFO) != 0 || (action.sa_handler != SIG_DFL && action.sa_handler != SIG_IGN);
    if (asked && has_handler && !terminated) std::raise(SIGTERM);
    object_.reset();
  }

  Flushed flush_output() override {
    try {
      std::cout.flush();  // of its own buffer, where it does not share C's
      std::clog.flush();
    } catch (...) {
      // as the user has asked of them
    }
    return {};
  }

 private:
  Outcome failed(ErrorKind kind, const char* what, std::string type) const {
    ErrorInfo error = ErrorInfo::of(kind, type.empty() ? what : fmt::format("{}: {}", type, what), host_, slot_);
    error.type_name = std::move(type);
    return {{}, std::move(error)};
  }
  std::unique_ptr<WorkerObject> object_;
  std::string host_;
  std::uint32_t slot_;
};

std::unique_ptr<worker::JobRunner> construct(const wire::Begin& begin) {
  ErrorInfo info = ErrorInfo::of(ErrorKind::worker_init_error, {}, begin.host, begin.slot);
  try {
    const auto unpacked = msgpack::unpack(begin.spec.data(), begin.spec.size());
    const auto& fields = unpacked.get().via.array;
    if (unpacked.get().type != msgpack::type::ARRAY || fields.size != 2) throw msgpack::type_error();
    const auto name = fields.ptr[0].as<std::string>();
    const auto factory = registry().find(name);
    if (factory == registry().end()) {
      info.message =
          fmt::format("this program has no worker class {}: DISTRIBUTED_COMPUTING_WORKER({}) is missing", name, name);
      throw worker::ConstructionError(info);
    }
    return std::make_unique<CppRunner>(factory->second(fields.ptr[1]), begin.host, begin.slot);
  } catch (const worker::ConstructionError&) {
    throw;
  } catch (const std::exception& error) {
    info.type_name = type_name_of(error);
    info.message = fmt::format("the constructor of {} failed on {} slot {}: {}: {}", begin.options->label, begin.host,
                               begin.slot, info.type_name, text_of(error));
    throw worker::ConstructionError(info);
  } catch (...) {
    info.message = fmt::format("the constructor of {} on {} slot {} threw something that is no std::exception",
                               begin.options->label, begin.host, begin.slot);
    throw worker::ConstructionError(info);
  }
}

}  // namespace

bool register_worker(const char* name, WorkerFactory factory) {
  registry()[name] = factory;
  return true;
}

/// What a worker starts inherits its environment, but not its channel.
bool in_worker_process() {
  int type = 0;
  socklen_t size = sizeof type;
  return std::getenv("DISTRIBUTED_COMPUTING_WORKER") &&
         ::getsockopt(wire::worker_socket_fd, SOL_SOCKET, SO_TYPE, &type, &size) == 0 && type == SOCK_SEQPACKET;
}

void worker_main() {
  std::exit(worker::run_worker(construct));  // and what the program does at its end
}

}  // namespace dc::detail
