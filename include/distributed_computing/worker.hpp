// Worker classes in C++: derive from dc::WorkerInterface, write run (and handle_update), register the class.
//
//   class Trainer : public dc::WorkerInterface {
//    public:
//     explicit Trainer(std::string dataset);        // once per worker: the expensive part
//     Score run(double learning_rate, int width);   // once per job
//     void handle_update(CacheEntry entry);         // between jobs; only needed when the pool sends updates
//   };
//   DISTRIBUTED_COMPUTING_WORKER(Trainer);          // at namespace scope, in one source file
//
// Parameters and results travel as MessagePack: arithmetic types, strings, standard containers, and your own types with
// msgpack's MSGPACK_DEFINE. They must be default-constructible and copyable. An exception of run is the job's outcome:
// the caller gets dc::JobError with its text.
#pragma once

#include <memory>
#include <string>
#include <string_view>
#include <tuple>
#include <type_traits>
#include <utility>

#include "distributed_computing/detail/signature.hpp"
#include "distributed_computing/detail/worker_entry.hpp"
#include "distributed_computing/detail/worker_info.hpp"

namespace dc {

/// Which worker this is, and which job it runs: for seeds (std::seed_seq of a number of yours and job_number), for
/// logs. In the constructor and in handle_update there is no job; threads see the worker's, a forked process the one
/// that ran when it was forked, and a program that a worker has started sees the worker alone. Throws std::logic_error
/// elsewhere.
inline WorkerInfo worker() { return detail::this_worker(); }

/// Base of every worker class; says by its name what the class is.
class WorkerInterface {
 public:
  virtual ~WorkerInterface() = default;
};

namespace detail {

/// Converts one MessagePack object to whatever a constructor's parameter asks for: the language does not tell what that
/// is.
struct AnyArgument {
  const msgpack::object* object;
  template <class T>
  requires(!std::is_base_of_v<WorkerInterface, T>)  // not the copy constructor, please
  operator T() const {                              // NOLINT: implicit on purpose
    try {
      return object->as<T>();
    } catch (const msgpack::type_error&) {
      throw BadArguments("a constructor argument has another type than its parameter");
    }
  }
};

/// Tries the number of arguments that came; a class may have several constructors.
template <class Worker, std::size_t Count>
std::unique_ptr<Worker> construct_with(const msgpack::object& arguments) {
  if (arguments.via.array.size != Count) {
    if constexpr (Count < 8)
      return construct_with<Worker, Count + 1>(arguments);
    else
      throw BadArguments("no constructor takes " + std::to_string(arguments.via.array.size) + " arguments");
  }
  return [&]<std::size_t... I>(std::index_sequence<I...>)->std::unique_ptr<Worker> {
    if constexpr (std::is_constructible_v<Worker, decltype((void)I, AnyArgument{})...>) {
      return std::make_unique<Worker>(AnyArgument{&arguments.via.array.ptr[I]}...);
    } else {
      throw BadArguments("no constructor takes " + std::to_string(Count) + " arguments");
    }
  }
  (std::make_index_sequence<Count>{});
}

template <class Worker>
class TypedWorker final : public WorkerObject {
 public:
  static std::unique_ptr<WorkerObject> make(const msgpack::object& arguments) {
    if (arguments.type != msgpack::type::ARRAY) throw BadArguments("the constructor's arguments are no array");
    auto object = std::make_unique<TypedWorker>();
    object->worker_ = construct_with<Worker, 0>(arguments);
    return object;
  }

  std::string run(std::string_view bytes) override {
    auto arguments = unpack_tuple<run_arguments_t<Worker>>(bytes);
    msgpack::sbuffer buffer;
    const auto call = [this](auto&&... argument) -> decltype(auto) {
      return worker_->run(std::forward<decltype(argument)>(argument)...);
    };
    if constexpr (std::is_void_v<run_result_t<Worker>>) {
      std::apply(call, std::move(arguments));
      msgpack::pack(buffer, msgpack::type::nil_t());
    } else {
      msgpack::pack(buffer, std::apply(call, std::move(arguments)));
    }
    return {buffer.data(), buffer.size()};
  }

  void update([[maybe_unused]] std::string_view bytes) override {
    if constexpr (HasUpdate<Worker>) {
      std::apply([this](auto&&... argument) { worker_->handle_update(std::forward<decltype(argument)>(argument)...); },
                 unpack_tuple<update_arguments_t<Worker>>(bytes));
    } else {
      throw BadArguments("the worker class has no handle_update");
    }
  }

 private:
  std::unique_ptr<Worker> worker_;
};

}  // namespace detail
}  // namespace dc

/// Registers a worker class under its name. At namespace scope (global), in one source file of the program.
#define DISTRIBUTED_COMPUTING_WORKER(Class)          \
  template <>                                        \
  struct dc::detail::Registration<Class> {           \
    static constexpr const char* name = #Class;      \
    static const bool done;                          \
  };                                                 \
  const bool dc::detail::Registration<Class>::done = \
      dc::detail::register_worker(#Class, &dc::detail::TypedWorker<Class>::make)
