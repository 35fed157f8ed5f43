// TLS on a connected socket, as the asynchronous stream that Beast wants. Asio has one too, but makes a system call,
// three copies and two turns of the loop for each record of 16 KiB; this one sends and receives several at once.
#pragma once

#include <array>
#include <cstddef>
#include <functional>
#include <limits>
#include <memory>
#include <span>
#include <utility>
#include <vector>

#include "net/asio.hpp"
#include "net/event_loop.hpp"
#include "net/ssl.hpp"
#include "net/tls.hpp"

// clang-format off
#include <boost/beast/core/role.hpp>
#include <boost/beast/websocket/teardown.hpp>
// clang-format on

namespace dc::net {

namespace beast = boost::beast;

/// Where records of TLS end in a stream of bytes.
class RecordMeter {
 public:
  [[nodiscard]] bool between_records() const { return header_ == 0 && body_ == 0; }
  /// Passes bytes up to the end of the header or of the record, and says how many.
  std::size_t pass(std::span<const char> bytes);

 private:
  std::size_t header_ = 0;  ///< bytes of the header that have passed
  std::size_t body_ = 0;    ///< bytes of the record that are to come
};

/// OpenSSL between two buffers: what has come from the peer, and what is to go there. Does no I/O. Until the peer is
/// trusted, its bytes and records are counted, and it works on one record at a time: what a record costs is up to the
/// peer (new keys for each of 27 bytes), and nothing else happens in this process meanwhile.
class TlsEngine {
 public:
  /// What an operation needs: incoming() to be filled, or outgoing() to be sent, both before it is tried again;
  /// outgoing() to be sent, after which it is done; a turn, and then one_record(); or nothing.
  enum class Next { receive, send, send_last, turn, done };
  struct Progress {
    Next next = Next::done;
    ErrorNumber error;
    std::size_t bytes = 0;  ///< of plain text
  };

  explicit TlsEngine(const TlsContext& context);
  TlsEngine(const TlsEngine&) = delete;
  TlsEngine& operator=(const TlsEngine&) = delete;

  [[nodiscard]] SSL* ssl() const { return ssl_.get(); }

  Progress shake_hands(beast::role_type role);
  /// As much as there is, up to the size of `into`.
  Progress read(std::span<std::byte> into);
  /// Takes some bytes of the buffers, one after the other.
  Progress write(std::span<const asio::const_buffer> buffers);
  /// Tells the peer that nothing more will come.
  Progress shut_down();

  void trust() { trusted_ = true; }
  [[nodiscard]] bool trusted() const { return trusted_; }
  /// Allows work on one record more, of a peer that is not trusted; an error when it has had too many.
  ErrorNumber one_record();

  /// Where bytes from the peer are to be put, when an operation waits for them; then say how many.
  [[nodiscard]] asio::mutable_buffer incoming();
  /// An error when that is too much for a peer that is not trusted.
  ErrorNumber received(std::size_t bytes);
  /// What is to be sent; it stays where it is until sent().
  [[nodiscard]] asio::const_buffer outgoing();
  void sent();

  /// For OpenSSL: takes up to `size` bytes of what has come, and gives what is to be sent.
  std::size_t take(char* into, std::size_t size);
  void give(const char* data, std::size_t size);

 private:
  Progress progress(int result);
  [[nodiscard]] Next more() const { return incoming_begin_ != incoming_end_ ? Next::turn : Next::receive; }
  bool may_take();

  Ssl ssl_;
  std::unique_ptr<char[]> incoming_;
  std::size_t incoming_size_ = 0;
  std::size_t incoming_begin_ = 0, incoming_end_ = 0;  // what OpenSSL has not taken yet
  bool trusted_ = false;
  std::size_t bytes_ = 0, records_ = 0, records_allowed_ = 0;
  RecordMeter meter_;
  std::vector<char> outgoing_;
  std::vector<char> sending_;
};

class TlsSocket {
 public:
  using executor_type = Executor;
  using next_layer_type = Socket;

  /// `turn`: see ChannelOptions; empty: the next turn of the loop.
  TlsSocket(Socket socket, const TlsContext& context, std::function<void(Callback)> turn = {})
      : socket_(std::move(socket)), engine_(std::make_unique<TlsEngine>(context)), turn_(std::move(turn)) {}

  executor_type get_executor() { return socket_.get_executor(); }
  Socket& next_layer() { return socket_; }
  [[nodiscard]] const Socket& next_layer() const { return socket_; }
  [[nodiscard]] SSL* ssl() const { return engine_->ssl(); }
  void trust() {
    engine_->trust();
    turn_ = {};
  }

  /// As all of these, calls `token` with (ErrorNumber, std::size_t).
  template <class Token>
  auto async_handshake(beast::role_type role, Token&& token) {
    return run([role](TlsEngine& engine) { return engine.shake_hands(role); }, token);
  }
  template <class Buffers, class Token>
  auto async_read_some(const Buffers& buffers, Token&& token) {
    asio::mutable_buffer into;
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
      if (into = *it; into.size() > 0) break;
    }
    const std::span bytes(static_cast<std::byte*>(into.data()), into.size());
    return run([bytes](TlsEngine& engine) { return engine.read(bytes); }, token);
  }
  template <class Buffers, class Token>
  auto async_write_some(const Buffers& buffers, Token&& token) {
    // An HTTP header comes in some twenty pieces, and is to be one record.
    std::array<asio::const_buffer, 32> from;
    std::size_t count = 0;
    for (auto it = asio::buffer_sequence_begin(buffers); it != asio::buffer_sequence_end(buffers); ++it) {
      if (count == from.size()) break;
      from[count++] = *it;
    }
    return run([progress = engine_->write({from.data(), count})](TlsEngine&) { return progress; }, token);
  }
  template <class Token>
  auto async_shut_down(Token&& token) {
    return run([](TlsEngine& engine) { return engine.shut_down(); }, token);
  }

 private:
  using Next = TlsEngine::Next;

  /// How much a system call may send: by itself Asio cuts after 64 KiB, in the middle of what belongs together.
  static std::size_t all_at_once(const ErrorNumber& error, std::size_t) {
    return error ? 0 : std::numeric_limits<std::size_t>::max();
  }

  /// Repeats a step of the engine, with I/O between, until it is done.
  template <class Step, class Token>
  auto run(Step step, Token& token) {
    return asio::async_compose<Token, void(ErrorNumber, std::size_t)>(
        [this, step, progress = TlsEngine::Progress{}, begun = false](auto& self, ErrorNumber error = {},
                                                                      std::size_t bytes = 0) mutable {
          const bool first = !std::exchange(begun, true);
          const Next last = std::exchange(progress.next, Next::done);
          if (last == Next::receive && !error) error = engine_->received(bytes);
          if (last == Next::send || last == Next::send_last) engine_->sent();
          if (last == Next::turn) error = engine_->one_record();
          if (error) {
            progress.error = error;
          } else if (last == Next::receive && !engine_->trusted()) {
            progress.next = Next::turn;
          } else if (first || last == Next::receive || last == Next::send || last == Next::turn) {
            progress = step(*engine_);
          }
          if (progress.next == Next::receive) return socket_.async_read_some(engine_->incoming(), std::move(self));
          if (progress.next == Next::turn) return wait_for_turn(std::move(self));
          if (progress.next != Next::done)
            return asio::async_write(socket_, engine_->outgoing(), all_at_once, std::move(self));
          if (first) return asio::post(socket_.get_executor(), std::move(self));
          self.complete(progress.error, progress.error ? 0 : progress.bytes);
        },
        token, socket_);
  }

  /// Goes on with an operation when it is its turn. It may be dropped instead, with the connection.
  template <class Operation>
  void wait_for_turn(Operation operation) {
    if (!turn_) return asio::post(socket_.get_executor(), std::move(operation));
    const auto turn = turn_;  // dropping the operation may end this
    turn([waiting = std::make_shared<Operation>(std::move(operation))] { (*waiting)(ErrorNumber{}, std::size_t{0}); });
  }

  Socket socket_;
  std::unique_ptr<TlsEngine> engine_;
  std::function<void(Callback)> turn_;
};

/// How Beast ends a WebSocket's connection: with TLS's farewell, then as on a bare socket.
template <class Handler>
void async_teardown(beast::role_type role, TlsSocket& stream, Handler&& handler) {
  stream.async_shut_down(
      [role, &stream, handler = std::forward<Handler>(handler)](ErrorNumber error, std::size_t) mutable {
        if (error) return handler(error);
        using beast::websocket::async_teardown;
        async_teardown(role, stream.next_layer(), std::move(handler));
      });
}

}  // namespace dc::net
