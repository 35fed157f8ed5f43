// The plain channel; see websocket_channel.hpp.
#include "net/channel.hpp"

#include "net/websocket_channel.hpp"

namespace dc::net {

std::shared_ptr<Channel> accept_channel(Socket socket, ChannelOptions options, ChannelReady on_ready) {
  auto channel = std::make_shared<WebSocketChannel<Socket>>(std::move(socket), std::move(options), std::move(on_ready));
  channel->accept();
  return channel;
}

std::shared_ptr<Channel> connect_channel(Socket socket, ChannelOptions options, ChannelReady on_ready) {
  auto channel = std::make_shared<WebSocketChannel<Socket>>(std::move(socket), std::move(options), std::move(on_ready));
  channel->connect();
  return channel;
}

}  // namespace dc::net
