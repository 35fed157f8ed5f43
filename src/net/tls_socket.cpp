// See tls_socket.hpp.
#include "net/tls_socket.hpp"

#include <openssl/bio.h>
#include <openssl/err.h>

#include <algorithm>
#include <boost/asio/ssl/context.hpp>
#include <boost/asio/ssl/error.hpp>
#include <cstring>
#include <utility>

#include "core/check.hpp"
#include "core/limits.hpp"

namespace dc::net {
namespace {

constexpr std::size_t record_bytes_max = SSL3_RT_MAX_PLAIN_LENGTH;
/// Received at once, and encrypted before it is sent: several records, and still in the processor's cache.
constexpr std::size_t bytes_at_once = 8 * record_bytes_max;
/// Received at once from a peer that is not trusted.
constexpr std::size_t bytes_of_stranger = 4 << 10;

TlsEngine& engine_of(BIO* bio) { return *static_cast<TlsEngine*>(BIO_get_data(bio)); }

int read_incoming(BIO* bio, char* into, int size) {
  BIO_clear_retry_flags(bio);
  const std::size_t taken = engine_of(bio).take(into, static_cast<std::size_t>(size));
  if (taken > 0) return static_cast<int>(taken);
  BIO_set_retry_read(bio);
  return -1;
}

int write_outgoing(BIO* bio, const char* data, int size) {
  BIO_clear_retry_flags(bio);
  engine_of(bio).give(data, static_cast<std::size_t>(size));
  return size;
}

/// The two buffers of an engine as OpenSSL's source and sink.
const BIO_METHOD* buffers_method() {
  static const BIO_METHOD* const method = [] {
    BIO_METHOD* made = BIO_meth_new(BIO_get_new_index() | BIO_TYPE_SOURCE_SINK, "buffers of a TlsEngine");
    DC_CHECK(made);
    BIO_meth_set_read(made, read_incoming);
    BIO_meth_set_write(made, write_outgoing);
    BIO_meth_set_ctrl(made, [](BIO*, int command, long, void*) -> long { return command == BIO_CTRL_FLUSH ? 1 : 0; });
    return made;
  }();
  return method;
}

}  // namespace

// --- Who is not trusted -----------------------------------------------------------------------------------------

std::size_t RecordMeter::pass(std::span<const char> bytes) {
  std::size_t passed = 0;
  if (header_ == 0 && body_ > 0) {
    passed = std::min(body_, bytes.size());
    body_ -= passed;
    return passed;
  }
  while (passed < bytes.size() && header_ < SSL3_RT_HEADER_LENGTH) {
    const auto byte = static_cast<unsigned char>(bytes[passed++]);
    if (++header_ >= SSL3_RT_HEADER_LENGTH - 1) body_ = body_ << 8 | byte;  // the last two hold the length
  }
  if (header_ < SSL3_RT_HEADER_LENGTH) return passed;
  header_ = 0;
  return passed;
}

/// Whether OpenSSL may take some of what has come: at the beginning of a record only when it is allowed one.
bool TlsEngine::may_take() {
  if (trusted_ || !meter_.between_records()) return true;
  if (records_allowed_ == 0) return false;
  --records_allowed_;
  ++records_;
  return true;
}

ErrorNumber TlsEngine::one_record() {
  records_allowed_ = 1;
  return trusted_ || records_ < limits::handshake_records_max ? ErrorNumber{} : asio::error::message_size;
}

ErrorNumber TlsEngine::received(std::size_t bytes) {
  incoming_end_ = bytes;
  bytes_ += bytes;
  return trusted_ || bytes_ <= limits::handshake_bytes_max ? ErrorNumber{} : asio::error::message_size;
}

// --- Operations -------------------------------------------------------------------------------------------------

TlsEngine::TlsEngine(const TlsContext& context) : ssl_(SSL_new(context->native_handle())) {
  BIO* buffers = BIO_new(buffers_method());
  DC_CHECK(ssl_ && buffers);
  BIO_set_data(buffers, this);
  BIO_set_init(buffers, 1);
  SSL_set_bio(ssl_.get(), buffers, buffers);
}

TlsEngine::Progress TlsEngine::shake_hands(beast::role_type role) {
  ERR_clear_error();
  return progress(role == beast::role_type::client ? SSL_connect(ssl_.get()) : SSL_accept(ssl_.get()));
}

TlsEngine::Progress TlsEngine::read(std::span<std::byte> into) {
  ERR_clear_error();
  std::size_t total = 0;
  std::size_t size = 0;
  int result = 1;
  while (total < into.size() &&
         (result = SSL_read_ex(ssl_.get(), into.data() + total, into.size() - total, &size)) > 0) {
    total += size;
  }
  if (total == into.size()) return {Next::done, {}, total};
  Progress made = progress(result);
  const bool waits = made.next == Next::receive || made.next == Next::turn || made.next == Next::send;
  if (total > 0 && (waits || made.error == asio::error::eof)) return {Next::done, {}, total};
  // What it has to say to the peer goes with what is written next: another operation may be sending now.
  made.next = waits && !made.error ? more() : Next::done;
  return made;
}

TlsEngine::Progress TlsEngine::write(std::span<const asio::const_buffer> buffers) {
  ERR_clear_error();
  outgoing_.reserve(std::min(asio::buffer_size(buffers), bytes_at_once) * 17 / 16 + record_bytes_max / 16);
  std::size_t total = 0;
  const auto encrypt = [&](const void* data, std::size_t size) {
    std::size_t written = 0;
    const int result = size > 0 ? SSL_write_ex(ssl_.get(), data, size, &written) : 1;
    total += size;
    return result;
  };
  // What is small at the beginning shares a record with what follows.
  int result = 1;
  if (!buffers.empty() && buffers.front().size() < record_bytes_max) {
    std::array<std::byte, record_bytes_max> first;
    result = encrypt(first.data(), asio::buffer_copy(asio::buffer(first), buffers));
  }
  std::size_t end = 0;
  for (const asio::const_buffer& buffer : buffers) {
    const std::size_t begin = std::exchange(end, end + buffer.size());
    if (result <= 0 || total >= bytes_at_once) break;
    if (total >= end) continue;
    const asio::const_buffer rest = buffer + (total - begin);
    result = encrypt(rest.data(), std::min(rest.size(), bytes_at_once - total));
  }
  Progress made = progress(result);
  made.bytes = total;
  return made;
}

TlsEngine::Progress TlsEngine::shut_down() {
  ERR_clear_error();
  SSL_shutdown(ssl_.get());
  return progress(1);
}

TlsEngine::Progress TlsEngine::progress(int result) {
  const bool to_send = !outgoing_.empty();
  Progress made{to_send ? Next::send_last : Next::done, {}, 0};
  if (result > 0) return made;
  switch (SSL_get_error(ssl_.get(), result)) {
    case SSL_ERROR_WANT_READ:
      made.next = to_send ? Next::send : more();
      break;
    case SSL_ERROR_ZERO_RETURN:
      made.error = asio::error::eof;
      break;
    case SSL_ERROR_SSL:
      made.error = ErrorNumber(static_cast<int>(ERR_get_error()), asio::error::get_ssl_category());
      break;
    default:
      made.error = asio::ssl::error::stream_truncated;
  }
  return made;
}

asio::mutable_buffer TlsEngine::incoming() {
  DC_CHECK(incoming_begin_ == incoming_end_);
  const std::size_t size = trusted_ ? bytes_at_once : bytes_of_stranger;
  if (size != incoming_size_) incoming_ = std::make_unique_for_overwrite<char[]>(size);
  incoming_size_ = size;
  incoming_begin_ = incoming_end_ = 0;
  return asio::buffer(incoming_.get(), size);
}

asio::const_buffer TlsEngine::outgoing() {
  DC_CHECK(sending_.empty());
  sending_.swap(outgoing_);
  return asio::buffer(sending_);
}

void TlsEngine::sent() {
  sending_.clear();
  if (sending_.capacity() > record_bytes_max) sending_.shrink_to_fit();  // an idle connection is to cost little
}

std::size_t TlsEngine::take(char* into, std::size_t size) {
  size = std::min(size, incoming_end_ - incoming_begin_);
  if (size == 0 || !may_take()) return 0;  // nothing was ever received, perhaps: there is no buffer then
  if (!trusted_) size = meter_.pass({incoming_.get() + incoming_begin_, size});
  std::memcpy(into, incoming_.get() + incoming_begin_, size);
  incoming_begin_ += size;
  return size;
}

void TlsEngine::give(const char* data, std::size_t size) { outgoing_.insert(outgoing_.end(), data, data + size); }

}  // namespace dc::net
