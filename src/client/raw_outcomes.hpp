// Outcomes and failures of the client as the C++ interface has them: bytes and exceptions.
#pragma once

#include <exception>
#include <utility>

#include "client/pool_client.hpp"
#include "distributed_computing/detail/raw_pool.hpp"

namespace dc::detail {

/// The exception of errors.hpp for this error.
std::exception_ptr exception_of(const ErrorInfo& info);
[[noreturn]] void raise(const client::Failure& failure);

template <class T>
T value_or_raise(client::Outcomes<T>&& result) {
  if (!result) raise(result.error());
  return std::move(result).value();
}

/// With the exception where there is an error.
RawOutcome raw(client::Completed&& completed);

inline constexpr std::size_t take_max = 4096;  ///< outcomes at once

}  // namespace dc::detail
