// Items and results of a worker class as bytes, checked at compile time. Not for users.
#pragma once

#include <msgpack.hpp>
#include <string>
#include <tuple>
#include <type_traits>
#include <utility>
#include <variant>

#include "distributed_computing/detail/signature.hpp"
#include "distributed_computing/errors.hpp"

namespace dc::detail {

/// What callers get for a result: std::monostate where run returns void.
template <class Worker>
using result_value_t = std::conditional_t<std::is_void_v<run_result_t<Worker>>, std::monostate, run_result_t<Worker>>;

template <class Worker>
result_value_t<Worker> decode_result(const char* data, std::size_t size) {
  try {
    const auto unpacked = msgpack::unpack(data, size);
    if constexpr (std::is_void_v<run_result_t<Worker>>)
      return {};
    else
      return unpacked.get().template as<run_result_t<Worker>>();
  } catch (const std::exception& error) {
    throw SerializationError(std::string("a result cannot be decoded: ") + error.what());
  }
}

template <class Item>
concept TupleLike = requires {
  std::tuple_size<std::remove_cvref_t<Item>>::value;
};

template <class Parameters, class Item>
inline constexpr bool item_fits = false;
template <class Parameters, TupleLike Item>
inline constexpr bool item_fits<Parameters, Item> = []<std::size_t... I>(std::index_sequence<I...>) {
  return accepts<Parameters, std::tuple_element_t<I, std::remove_cvref_t<Item>>...>;
}
(std::make_index_sequence<std::tuple_size_v<std::remove_cvref_t<Item>>>{});

/// An item is the one argument of run, or a tuple of its arguments.
template <class Worker, class Item>
std::string encode_item(const Item& item) {
  using Parameters = run_arguments_t<Worker>;
  if constexpr (std::tuple_size_v<Parameters> == 1 &&
                std::is_convertible_v<const Item&, std::tuple_element_t<0, Parameters>>) {
    return pack_tuple(Parameters{static_cast<std::tuple_element_t<0, Parameters>>(item)});
  } else {
    static_assert(item_fits<Parameters, Item>,
                  "an item must be the argument of the worker's run, or a std::tuple of its arguments");
    return pack_tuple(std::apply([](const auto&... argument) { return Parameters(argument...); }, item));
  }
}

}  // namespace dc::detail
