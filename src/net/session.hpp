// Sessions: an authenticated, framed, heart-beating stream of messages between two processes, and how they come
// about: a Listener accepts them, a Connector makes one and makes it anew whenever it breaks.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <optional>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "core/ids.hpp"
#include "core/result.hpp"
#include "net/event_loop.hpp"
#include "net/local_socket.hpp"
#include "wire/framing.hpp"
#include "wire/messages.hpp"

namespace dc::net {

/// Who is at the other end, as it said itself in its handshake.
struct Peer {
  wire::Role role{};   ///< of a client, node or viewer; meaningless at the connecting side
  std::uint64_t id{};  ///< NodeId or ClientId value
  std::string host;
  std::uint32_t pid{};
  std::string version;
  std::string address;                ///< "127.0.0.1:40312" or "unix"
  std::uint32_t epoch{};              ///< connecting side: this life of the head
  std::uint64_t payload_bytes_max{};  ///< connecting side: the head's limit
  std::uint64_t term{};               ///< connecting side: of the head; head's: that the peer knows. See wire::Welcome
  std::string head;                   ///< connecting side: "host:port" as the user named it
};

/// One connection past its handshake. Lives on the loop's thread. Owned by its Listener or Connector; it is gone
/// after on_close.
class Session {
 public:
  virtual ~Session() = default;
  [[nodiscard]] virtual SessionId id() const = 0;
  [[nodiscard]] virtual const Peer& peer() const = 0;
  /// Queues a message; everything queued in one turn of the loop is written at its end, in as few frames as possible.
  virtual void send(wire::Message message, wire::Lane lane = wire::control_lane) = 0;
  /// Bytes queued and not yet written to the socket.
  [[nodiscard]] virtual std::size_t queued_bytes() const = 0;
  /// Those of them that wire::FrameWriter::queued_talk() counts.
  [[nodiscard]] virtual std::size_t queued_talk() const = 0;
  /// Called once, from the loop, when all that is queued has been handed to the socket.
  virtual void when_written(Callback done) = 0;
  /// Writes what is queued (for at most one second), then closes; on_close follows.
  virtual void close(std::string reason) = 0;
};

/// What a service does with its sessions. Called on the loop's thread, never from inside send().
struct SessionHandler {
  std::function<void(Session&)> on_open;
  /// All messages that one read completed, in order.
  std::function<void(Session&, std::vector<wire::Message>&&)> on_messages;
  /// The session is gone (`why` says how) and its object dies after this call.
  std::function<void(SessionId, const Error& why)> on_close;
};

/// The password as both sides keep it: salted SCRAM keys, cached for the life of the process.
struct Secret {
  std::string password;
};

/// The answer to an HTTP request that is no session.
struct HttpAnswer {
  unsigned status = 404;
  std::string type = "text/plain";
  std::string body = "not found\n";
};

struct ListenOptions {
  /// Addresses to listen on, e.g. {"127.0.0.1", "::1"}. "::1" is left
  /// out where the machine has no IPv6 and there is another address. None at all: only the Unix socket.
  std::vector<std::string> addresses;
  std::uint16_t port = limits::default_port;  ///< 0: any free one, see Listener::port()
  std::string unix_path;                      ///< empty: no Unix socket. Made with mode 0600
  std::string key_file;  ///< of the key for TLS, see paths::head_key(); made when missing. Needed with `addresses`
  Secret secret;
  std::uint32_t epoch{};
  /// Of this head among those that share its store, see wire::Welcome. It may rise.
  std::function<std::uint64_t()> term = [] { return std::uint64_t{0}; };
  std::uint64_t payload_bytes_max = limits::payload_bytes_max_default;
  /// Asked when a peer comes and again before its session opens; false: it is turned away, without a word. Empty: yes.
  std::function<bool()> admits;
  /// Answers HTTP GET on the same port, on every transport and without a password; empty: all is "not found".
  std::function<HttpAnswer(std::string_view target)> on_http;
  Duration handshake_deadline = limits::handshake_deadline;  ///< shorter in tests
  Duration idle_timeout = limits::session_idle_timeout;      ///< shorter in tests
};

/// Accepts sessions. Fails with a sentence that names address and port when they are in use.
class Listener {
 public:
  virtual ~Listener() = default;  ///< closes everything, removes the Unix socket's file
  [[nodiscard]] virtual std::uint16_t port() const = 0;
  /// Of the key for TLS, for --fingerprint; empty when there are no addresses.
  [[nodiscard]] virtual std::string fingerprint() const = 0;
  /// Serves this Unix socket instead of the one that it had.
  virtual void renew_socket(LocalSocket socket) = 0;
  /// Breaks off all sessions and handshakes at once: what is queued is not written, on_close is not called.
  virtual void break_off() = 0;
  /// Says Goodbye on all sessions, stops accepting, closes; then calls `done`.
  virtual void shut_down(std::string message, Callback done) = 0;
};
Result<std::unique_ptr<Listener>> listen(EventLoop& loop, ListenOptions options, SessionHandler handler);

struct ConnectOptions {
  /// Host name or address of the head, or several, "host1,host2:8900,[::1]:8899": they are tried in turn, and one that
  /// does not answer at once does not keep the others waiting. See head_addresses().
  std::string address;
  std::uint16_t port = limits::default_port;  ///< of addresses that name none
  /// Used instead of TCP when an address without a port of its own is this machine and the socket exists. See
  /// local_address().
  std::string unix_path;
  /// That the head's key must have, or several with commas; empty: the one in `known_heads`, else any.
  std::string fingerprint;
  std::string known_heads;  ///< file of the keys that heads had before; empty: none is kept
  Secret secret;
  wire::Role role{};
  std::uint64_t id{};                                        ///< NodeId or ClientId value
  wire::AllocatePayload allocate = wire::allocate_on_heap;   ///< where large incoming payloads are put together
  bool reconnect = true;                                     ///< false: each address once, and a break is final
  Duration handshake_deadline = limits::handshake_deadline;  ///< of one attempt; shorter in tests
  Duration idle_timeout = limits::session_idle_timeout;      ///< shorter in tests
};

/// Keeps one session to the head: connects, and connects anew with jittered back-off whenever it breaks, for ever.
class Connector {
 public:
  struct Handler {
    SessionHandler session;
    /// No address answered, and all are tried again. `error.message` is a whole sentence for each. `attempt` counts
    /// from 1 since the last session.
    std::function<void(const Error& error, int attempt)> on_retry;
    /// The head refused us for good (password, version, role), or reconnect is off: no further attempt.
    std::function<void(const Error& error)> on_final;
  };
  virtual ~Connector() = default;
  /// The present session, or nullptr.
  [[nodiscard]] virtual Session* session() = 0;
  /// Says Goodbye when connected, writes what is queued, closes, makes no further attempts; then calls `done`.
  virtual void shut_down(std::string message, Callback done) = 0;
};
std::unique_ptr<Connector> connect(EventLoop& loop, ConnectOptions options, Connector::Handler handler);

/// Whether `text` has the form of a fingerprint: "sha256:" and 43 characters.
bool is_fingerprint(const std::string& text);
/// True when `address` (a name or number) is this machine: loopback or the address of one of its interfaces.
bool local_address(const std::string& address);
/// The address under which other machines most likely reach this one, found without any outside service (the source
/// address of the default route, else of the first interface that is up, else 127.0.0.1).
std::string reachable_address();
std::string host_name();

/// SHA-256 of the bytes in hexadecimal.
std::string content_hash(std::span<const std::byte> bytes);
/// The same of a file, read to its end; empty if it cannot be read.
std::string content_hash_of_file(const std::string& path);

/// Where the journal of the pool with this name stands in a store: the first eight bytes (big endian) of its SHA-256.
std::uint64_t log_of_pool(std::string_view name);
/// A random number from the system, never 0.
std::uint64_t random_id();

}  // namespace dc::net
