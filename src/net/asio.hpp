// The one way to include Boost.Asio: version 1.74 needs <utility> before it under g++ 12.
#pragma once

// clang-format off
#include <utility>
#include <boost/asio.hpp>
// clang-format on

namespace dc::net {

namespace asio = boost::asio;
using ErrorNumber = boost::system::error_code;
using Executor = asio::io_context::executor_type;

using SteadyTimer =
    asio::basic_waitable_timer<std::chrono::steady_clock, asio::wait_traits<std::chrono::steady_clock>, Executor>;

/// A connected TCP or Unix socket: one type for both, so that all that stands on it is compiled once.
using Socket = asio::basic_stream_socket<asio::generic::stream_protocol, Executor>;

}  // namespace dc::net
