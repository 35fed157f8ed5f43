// Compile-time questions about a worker class: what its run takes and returns, what its handle_update takes. Not for
// users.
#pragma once

#include <msgpack.hpp>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>

#include "distributed_computing/detail/worker_entry.hpp"

namespace dc::detail {

template <class Method>
struct MethodTraits;
template <class Class, class Result, class... Arguments>
struct MethodTraits<Result (Class::*)(Arguments...)> {
  using result = Result;
  using arguments = std::tuple<std::decay_t<Arguments>...>;
};
template <class Class, class Result, class... Arguments>
struct MethodTraits<Result (Class::*)(Arguments...) const> : MethodTraits<Result (Class::*)(Arguments...)> {};
template <class Class, class Result, class... Arguments>
struct MethodTraits<Result (Class::*)(Arguments...) noexcept> : MethodTraits<Result (Class::*)(Arguments...)> {};
template <class Class, class Result, class... Arguments>
struct MethodTraits<Result (Class::*)(Arguments...) const noexcept> : MethodTraits<Result (Class::*)(Arguments...)> {};
template <class Result, class... Arguments>
struct MethodTraits<Result (*)(Arguments...)> {  // a static member function
  using result = Result;
  using arguments = std::tuple<std::decay_t<Arguments>...>;
};

template <class Worker>
concept HasRun = requires {
  &Worker::run;
};
template <class Worker>
concept HasUpdate = requires {
  &Worker::handle_update;
};

/// std::tuple of the decayed parameters of Worker::run.
template <HasRun Worker>
using run_arguments_t = typename MethodTraits<decltype(&Worker::run)>::arguments;
template <HasRun Worker>
using run_result_t = std::decay_t<typename MethodTraits<decltype(&Worker::run)>::result>;
template <HasUpdate Worker>
using update_arguments_t = typename MethodTraits<decltype(&Worker::handle_update)>::arguments;

/// True when arguments of these types can be passed for parameters `Tuple`.
template <class Tuple, class... Given>
inline constexpr bool accepts = false;
template <class... Parameters, class... Given>
requires(sizeof...(Parameters) == sizeof...(Given)) inline constexpr bool accepts<std::tuple<Parameters...>, Given...> =
    (std::is_convertible_v<Given, Parameters> && ...);

/// The MessagePack array of a tuple's elements.
template <class Tuple>
std::string pack_tuple(const Tuple& arguments) {
  msgpack::sbuffer buffer;
  msgpack::packer<msgpack::sbuffer> packer(buffer);
  packer.pack_array(static_cast<std::uint32_t>(std::tuple_size_v<Tuple>));
  std::apply([&](const auto&... argument) { (packer.pack(argument), ...); }, arguments);
  return {buffer.data(), buffer.size()};
}

template <class Tuple>
Tuple unpack_tuple(const msgpack::object& object) {
  if (object.type != msgpack::type::ARRAY || object.via.array.size != std::tuple_size_v<Tuple>) {
    throw BadArguments("expected " + std::to_string(std::tuple_size_v<Tuple>) + " arguments");
  }
  Tuple arguments;
  std::size_t index = 0;
  try {
    std::apply([&](auto&... argument) { (object.via.array.ptr[index++].convert(argument), ...); }, arguments);
  } catch (const msgpack::type_error&) {
    throw BadArguments("argument " + std::to_string(index) + " has another type than its parameter");
  }
  return arguments;
}

template <class Tuple>
Tuple unpack_tuple(std::string_view bytes) {
  const auto unpacked = msgpack::unpack(bytes.data(), bytes.size());
  return unpack_tuple<Tuple>(unpacked.get());
}

}  // namespace dc::detail
