// A session past its handshake; see session_impl.hpp.
#include "net/session_impl.hpp"

#include <fmt/format.h>

#include <algorithm>
#include <utility>

#include "wire/shown_texts.hpp"

namespace dc::net {
namespace {

SessionId next_session_id() {
  static std::uint64_t count = 0;  // sessions are made on the loop's thread, but a process may have several loops
  return SessionId{__atomic_add_fetch(&count, 1, __ATOMIC_RELAXED)};
}

}  // namespace

SessionImpl::SessionImpl(EventLoop& loop, Peer peer, std::shared_ptr<Channel> channel,
                         wire::FrameReader::Options reader, wire::Ways accepts, Events events)
    : loop_(loop),
      id_(next_session_id()),
      peer_(std::move(peer)),
      channel_(std::move(channel)),
      reader_(std::move(reader)),
      accepts_(accepts),
      events_(std::move(events)) {}

void SessionImpl::begin(bool writing, std::optional<wire::Frame> last) {
  writing_ = writing;
  first_ = std::move(last);
  channel_->trust();
  const auto weak = weak_from_this();
  channel_->listen({
      .on_frame =
          [weak](std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
            if (const auto self = weak.lock()) self->on_frame(std::move(frame), bytes);
          },
      .on_written =
          [weak] {
            const auto self = weak.lock();
            if (!self) return;
            self->writing_ = false;
            self->writing_bytes_ = 0;
            if (self->state_ == State::closing) self->expect_progress();
            self->schedule_flush();
            if (!self->writer_.empty()) return;
            for (const Callback& done : std::exchange(self->when_written_, {})) done();
          },
      .on_closed =
          [weak](const Error& why) {
            if (const auto self = weak.lock()) self->finish(why);
          },
  });
  schedule_flush();
}

void SessionImpl::send(wire::Message message, wire::Lane lane) {
  if (state_ != State::open) return;
  writer_.push(std::move(message), lane);
  schedule_flush();
}

void SessionImpl::schedule_flush() {
  if (flush_scheduled_ || writing_ || state_ == State::over) return;
  if (state_ == State::open && writer_.empty() && !first_) return;
  flush_scheduled_ = true;
  loop_.at_turn_end([self = shared_from_this()] { self->flush(); });
}

void SessionImpl::flush() {
  flush_scheduled_ = false;
  if (writing_ || state_ == State::over) return;
  if (writer_.empty() && !first_) {
    if (state_ == State::closing) channel_->close(close_reason_);
    return;
  }
  wire::Frame frame = first_ ? std::move(*first_) : writer_.next();
  first_.reset();
  writing_ = true;
  writing_bytes_ = frame.head.size() + frame.body.size();
  channel_->write(std::move(frame));
}

void SessionImpl::close(std::string reason) {
  if (state_ != State::open) return;
  state_ = State::closing;
  close_reason_ = std::move(reason);
  close_by_ = EventLoop::now() + close_time_max;
  expect_progress();
  schedule_flush();
}

/// A peer that does not read, or does not say farewell, must not keep us; one that reads slowly gets what it was
/// sent, unless that takes very long.
void SessionImpl::expect_progress() {
  deadline_ = loop_.call_at(std::min(EventLoop::now() + close_deadline, close_by_),
                            [this] { finish(fail(ErrorCode::unreachable, "it was closed at this end")); });
}

void SessionImpl::on_frame(std::shared_ptr<const void> frame, std::span<const std::byte> bytes) {
  if (state_ != State::open) return;
  std::vector<wire::Message> messages;
  auto read = reader_.read(bytes, std::move(frame), messages);
  for (wire::Message& message : messages) {
    if ((wire::ways_of(message) & accepts_) == 0) {
      read = fail(ErrorCode::protocol,
                  fmt::format("the other end broke the protocol: {} is not for this end", wire::name_of(message)));
      messages.clear();
      break;
    }
    wire::make_printable(message);
    if (const auto* goodbye = std::get_if<wire::Goodbye>(&message)) {
      goodbye_ = goodbye->message.empty() ? "goodbye" : goodbye->message;
    }
  }
  if (!messages.empty()) events_.on_messages(*this, std::move(messages));
  if (!read && state_ == State::open) finish(read.error());
}

void SessionImpl::finish(Error why) {
  if (state_ == State::over) return;
  if (state_ == State::open && !goodbye_.empty()) why = fail(ErrorCode::left, goodbye_);
  abort();
  const auto self = shared_from_this();
  events_.on_closed(*this, why);
}

void SessionImpl::abort() {
  state_ = State::over;
  deadline_.reset();
  channel_->abort();
}

}  // namespace dc::net
