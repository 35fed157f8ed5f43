// The channel over TLS; see websocket_channel.hpp.
#include "net/channel.hpp"
#include "net/tls.hpp"
#include "net/tls_socket.hpp"
#include "net/websocket_channel.hpp"

namespace dc::net {

template <>
inline constexpr bool is_encrypted<TlsSocket> = true;

std::shared_ptr<Channel> accept_tls_channel(Socket socket, const TlsContext& context, ChannelOptions options,
                                            ChannelReady on_ready) {
  TlsSocket tls(std::move(socket), context, options.turn);
  auto channel = std::make_shared<WebSocketChannel<TlsSocket>>(std::move(tls), std::move(options), std::move(on_ready));
  channel->accept();
  return channel;
}

std::shared_ptr<Channel> connect_tls_channel(Socket socket, ChannelOptions options, ChannelReady on_ready) {
  auto channel = std::make_shared<WebSocketChannel<TlsSocket>>(TlsSocket(std::move(socket), connecting_context()),
                                                               std::move(options), std::move(on_ready));
  channel->connect();
  return channel;
}

}  // namespace dc::net
