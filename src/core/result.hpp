// How the world fails inside the product: with a value. Exceptions stand only at the public door.
#pragma once

#include <boost/outcome/basic_result.hpp>
#include <boost/outcome/policy/terminate.hpp>
#include <boost/outcome/try.hpp>
#include <string>
#include <utility>

namespace dc {

enum class ErrorCode {
  unreachable,  ///< no connection could be made, or it broke: trying again may help
  rejected,     ///< the peer refused us (password, version, role): trying again does not help
  protocol,     ///< the peer sent what the protocol does not allow
  too_large,    ///< over a limit that has a name
  not_found,
  io,       ///< the operating system refused
  invalid,  ///< bad input from the user
  full,     ///< no room is left where it should be stored
  fenced,   ///< another head has taken over
  left,     ///< the peer has ended in order, and said so
};

/// What went wrong, where, and what to do: `message` is a whole sentence for the user.
struct Error {
  ErrorCode code{};
  std::string message;
};

/// A value or an Error. Asking a failed result for its value stops the process.
template <class T>
using Result = boost::outcome_v2::basic_result<T, Error, boost::outcome_v2::policy::terminate>;

inline Error fail(ErrorCode code, std::string message) { return {code, std::move(message)}; }

}  // namespace dc
