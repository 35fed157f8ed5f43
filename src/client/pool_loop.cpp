// The background thread of a PoolClient: carries the outbox to the machine, the machine's effects to the session and
// to the users.
#include <algorithm>
#include <span>
#include <utility>

#include "client/pool_client_impl.hpp"
#include "core/own_worker.hpp"
#include "core/paths.hpp"
#include "core/printable.hpp"
#include "core/process_name.hpp"
#include "net/head_address.hpp"

namespace dc::client {

namespace {

/// A program that waits for another one of this machine looks so often whether that is gone.
constexpr auto holder_look_interval = 250ms;
/// And for what its threads wait.
constexpr auto waits_look_interval = 250ms;

ErrorInfo closed_info(std::string message) { return ErrorInfo::of(ErrorKind::pool_closed, std::move(message)); }

Failure failure_of(const ErrorInfo& error) {
  const auto kind = error.kind == ErrorKind::pool_closed ? FailureKind::pool_closed
                    : error.kind == ErrorKind::too_large ? FailureKind::too_large
                                                         : FailureKind::pool_failed;
  return {kind, error.message, error};
}

}  // namespace

void PoolClient::Impl::run() {
  start_connecting();
  drain();
  loop.run();
  connect_timer.reset();
  tick_timer.reset();
  holder_timer.reset();
  connecting_timer.reset();
  waits_timer.reset();
  unshown_timer.reset();
  connector.reset();
  tell_unshown();
  {
    const std::lock_guard lock(mutex);
    ended = true;
  }
  changed.notify_all();
}

void PoolClient::Impl::start_connecting() {
  ClientMachine::Config config;
  config.pool = PoolId{net::random_id()};
  config.name = options.name;
  config.attach_only = options.attach_only;
  config.steal = options.steal;
  if (!options.name.empty()) config.process = process_name();
  config.options = options.pool;
  config.spec = options.spec;
  config.head_name = head_name;
  config.in_worker = own_worker();
  std::optional<Failure> unreadable;
  if (!options.program_path.empty()) {
    if (auto program = map_file(options.program_path)) {
      config.program = std::move(program).value();
      config.options.program_hash = net::content_hash(config.program.bytes());
    } else {
      unreadable = Failure{FailureKind::invalid, program.error().message, {}};
    }
  }
  machine.emplace(std::move(config));
  if (unreadable) return give_up(std::move(*unreadable));
  if (const auto addresses = net::head_addresses(options.address, options.port); !addresses)
    return give_up({FailureKind::invalid, addresses.error().message, {}});

  net::ConnectOptions connect;
  connect.address = options.address;
  connect.port = options.port;
  connect.unix_path = options.unix_path.empty() ? paths::head_socket(options.port) : options.unix_path;
  connect.fingerprint = options.fingerprint;
  connect.known_heads = paths::known_heads();
  connect.secret.password = options.password;
  connect.role = wire::Role::client;
  connect.id = net::random_id();
  connector = net::connect(loop, std::move(connect), handlers());
  connecting_timer =
      loop.call_at(net::EventLoop::now() + limits::connecting_notice_after, [this] { note_connecting(); });
  connect_timer = loop.call_at(net::EventLoop::now() + options.connect_timeout, [this] {
    if (had_session || leaving.going()) return;
    if (last_error.empty()) {
      last_error = "cannot reach the head at " + head_name + " (no answer within " +
                   std::to_string(std::chrono::duration_cast<std::chrono::seconds>(options.connect_timeout).count()) +
                   " s): is it running, and is the port open?";
    }
    give_up({last_refused ? FailureKind::authentication : FailureKind::unreachable, last_error, {}});
  });
}

/// Who waits for the first connection is told of it.
void PoolClient::Impl::note_connecting() {
  if (had_session || leaving.going() || options.connect_timeout <= limits::connecting_notice_after) return;
  const auto seconds = std::chrono::ceil<std::chrono::seconds>(options.connect_timeout).count();
  const std::string how_long =
      patience_of(options.connect_timeout) == Patience::forever ? "" : ", for " + std::to_string(seconds) + " s in all";
  note((last_error.empty() ? "the head at " + head_name + " has not answered so far. " : last_error + " ") +
       "Trying on" + how_long);
}

/// While the user waits for anything, the machine is told for what, and since when.
void PoolClient::Impl::look_at_waits() {
  if (leaving.going()) return;
  const TimePoint now = net::EventLoop::now();
  machine->users_wait(waits.look(now));
  flush();
  waits_timer.reset();
  if (!waits.looked_at() || leaving.going()) return;
  waits_timer = loop.call_at(now + waits_look_interval, [this] { look_at_waits(); });
}

net::Connector::Handler PoolClient::Impl::handlers() {
  net::Connector::Handler handler;
  handler.session.on_open = [this](net::Session& opened) {
    had_session = true;
    session = &opened;
    machine->head_is(opened.peer().head);
    const std::uint64_t limit = opened.peer().payload_bytes_max;
    {
      const std::lock_guard lock(mutex);
      payload_bytes_max = limit;
    }
    machine->session_opened(limit, net::EventLoop::now());
    flush();
  };
  handler.session.on_messages = [this](net::Session&, std::vector<wire::Message>&& messages) {
    for (wire::Message& message : messages) machine->receive(std::move(message));
    flush();
  };
  handler.session.on_close = [this](SessionId, const Error& why) {
    session = nullptr;
    machine->session_closed(why.message);
    flush();
  };
  handler.on_retry = [this](const Error& error, int) {
    last_error = error.message;
    last_refused = error.code == ErrorCode::rejected;
  };
  handler.on_final = [this](const Error& error) {
    if (leaving.going()) return;
    const bool refused = error.code == ErrorCode::rejected || error.code == ErrorCode::invalid;
    give_up({refused ? FailureKind::authentication : FailureKind::unreachable, error.message, {}});
  };
  return handler;
}

/// Everything that users have put down since the last time.
void PoolClient::Impl::drain() {
  std::unique_lock lock(mutex);
  woken = false;
  auto jobs = std::exchange(new_jobs, {});
  auto updates = std::exchange(new_updates, {});
  const UpdateNumber first_update = last_update - updates.size() + 1;
  const auto want = std::exchange(new_want, {});
  const auto drop = std::exchange(dropped, {});
  const auto done = std::exchange(consumed, {});
  const auto earlier = std::exchange(earlier_asked, {});
  const bool leave = leave_asked;
  const auto close = close_asked;
  lock.unlock();

  for (std::size_t i = 0; i < updates.size(); ++i) machine->update(first_update + i, std::move(updates[i]));
  machine->submit(std::move(jobs));
  if (want) machine->want_workers(*want);
  for (const StreamId stream : drop) machine->drop_stream(stream);
  machine->consumed(done);
  if (earlier) machine->read_earlier(*earlier);
  if (leave && leaving.leave()) machine->leave();
  if (close) begin_close(*close);
  flush();
}

void PoolClient::Impl::begin_close(Duration timeout) {
  switch (leaving.close(timeout, net::EventLoop::now())) {
    case LeavingMachine::Close::nothing:
      return;
    case LeavingMachine::Close::pool:
      return machine->close(closed_info("the pool is closed"));
    case LeavingMachine::Close::abandon:
      machine->abandon(closed_info("the program did not wait for the answer of the head at " + head_name));
  }
}

void PoolClient::Impl::flush() {
  Effects effects = machine->take_effects(net::EventLoop::now());
  for (wire::Outgoing& out : effects.sends) {
    if (session) session->send(std::move(out.message), out.lane);
  }
  for (const Report& one : effects.reports) {
    if (const auto* seen = std::get_if<OutputSeen>(&one)) show(seen->lines);  // a job's lines go before its result
  }
  deliver(effects.deliveries);
  for (const Report& one : effects.reports) report(one);
  look_at_leaving();
  watch_holder();
  schedule_tick();
}

void PoolClient::Impl::look_at_leaving() {
  const LeavingMachine::Seen seen{session != nullptr, machine->closed_at_head(), machine->unsettled()};
  switch (leaving.look(seen, net::EventLoop::now())) {
    case LeavingMachine::Step::wait:
      return;
    case LeavingMachine::Step::abandon:
      machine->abandon(closed_info("the head at " + head_name + " does not answer"));
      return flush();
    case LeavingMachine::Step::say_goodbye:
      return say_goodbye();
    case LeavingMachine::Step::end:
      loop.stop();
  }
}

void PoolClient::Impl::say_goodbye() {
  if (!connector) return loop.stop();
  connector->shut_down(leaving.goodbye(), [this] { loop.stop(); });
}

/// The named pool's client is away. Whether it has ended can be seen if it ran on this machine.
void PoolClient::Impl::watch_holder() {
  const Holder* holder = machine->holder();
  if (!holder) return holder_timer.reset();
  if (holder_timer) return;
  if (process_is_gone(holder->process)) {
    machine->holder_is_gone();
    return loop.post([this] { flush(); });
  }
  if (holder->text != holder_told) note(holder_told = holder->text);
  holder_timer = loop.call_at(net::EventLoop::now() + holder_look_interval, [this] {
    holder_timer.reset();
    watch_holder();
  });
}

void PoolClient::Impl::schedule_tick() {
  const TimePoint deadline = std::min(machine->next_deadline(), leaving.next_deadline());
  if (deadline == tick_at) return;
  tick_at = deadline;
  tick_timer.reset();
  if (deadline == never) return;
  tick_timer = loop.call_at(deadline, [this] {
    tick_at = never;
    flush();
  });
}

void PoolClient::Impl::deliver(std::vector<Delivery>& deliveries) {
  for (Delivery& delivery : deliveries) {
    std::shared_ptr<Stream::State> stream;
    {
      const std::lock_guard lock(mutex);
      if (const auto found = streams.find(delivery.stream); found != streams.end()) stream = found->second;
    }
    if (!stream) continue;
    {
      const std::lock_guard lock(stream->mutex);
      if (stream->closed || stream->left) continue;
      if (stream->ready.empty()) {
        stream->ready = std::move(delivery.completed);
        stream->next = 0;
      } else {
        std::move(delivery.completed.begin(), delivery.completed.end(), std::back_inserter(stream->ready));
      }
    }
    stream->arrived.notify_all();
  }
}

void PoolClient::Impl::report(const Report& report) {
  if (const auto* said = std::get_if<Note>(&report)) return note(said->text);
  if (std::holds_alternative<OutputSeen>(report)) return;  // shown before
  if (const auto* over = std::get_if<PoolIsOver>(&report)) return fail(failure_of(over->error));
  bool first_of_update = true;  // a node says it again after a reconnection
  {
    const std::lock_guard lock(mutex);
    if (const auto* now = std::get_if<PoolIsOpen>(&report)) {
      open = true;
      opened = *now;
      if (!options.name.empty()) last_sequence = now->last_sequence, last_update = accepted = applied = now->updates;
    }
    if (const auto* now = std::get_if<UpdatesAccepted>(&report)) accepted = now->number;
    if (const auto* now = std::get_if<UpdatesDone>(&report)) applied = now->number;
    if (const auto* error = std::get_if<UpdateRaised>(&report)) {
      first_of_update = raised.try_emplace(error->number, error->outcome).second;
      if (raised.size() > limits::failed_updates_kept) raised.erase(raised.begin());
    }
    if (const auto* now = std::get_if<CountsChanged>(&report)) {
      state = now->state;
      ++state_version;
    }
  }
  changed.notify_all();
  if (const auto* raised_by = std::get_if<UpdateRaised>(&report); raised_by && first_of_update) {
    const ErrorInfo& error = *raised_by->outcome.error;
    note_failed_update(error.message + (error.traceback.empty() ? "" : "\n" + error.traceback));
  }
}

void PoolClient::Impl::show(const wire::OutputLines& printed) {
  if (!options.on_output) return;
  if (!printed.lines.empty()) options.on_output(printed);
  if (printed.left_out == 0) return;
  unshown.add({printed.host, printed.slot, printed.stream}, printed.left_out);
  if (!unshown_timer)
    unshown_timer = loop.call_at(net::EventLoop::now() + limits::unshown_told_interval, [this] { tell_unshown(); });
}

void PoolClient::Impl::tell_unshown() {
  unshown_timer.reset();
  for (const auto& [place, count] : unshown.take())
    options.on_output({PoolId{}, place.host, place.slot, {unshown_text(count)}, place.stream});
}

/// Of an update that fails, others most often fail too.
void PoolClient::Impl::note_failed_update(const std::string& text) {
  const auto left_out = failed_updates.admit(net::EventLoop::now());
  if (!left_out) {
    if (!std::exchange(failed_updates_unshown, true)) note("updates fail so often that not all are shown");
    return;
  }
  failed_updates_unshown = false;
  if (*left_out > 0) note(std::to_string(*left_out) + " failures of updates were not shown");
  note("an update failed: " + text);
}

/// It may stand on a terminal, and texts of workers in it.
void PoolClient::Impl::note(const std::string& text) {
  if (options.on_notice) options.on_notice(printable_lines(text, limits::notice_bytes_max));
}

/// From here on every call reports `why` (the first one counts). All outcomes that there will be are delivered.
void PoolClient::Impl::fail(Failure why) {
  std::vector<std::shared_ptr<Stream::State>> all;
  {
    const std::lock_guard lock(mutex);
    if (!failure) failure = std::move(why);
    why = *failure;
    for (const auto& [id, stream] : streams) all.push_back(stream);
  }
  changed.notify_all();
  for (const auto& stream : all) {
    {
      const std::lock_guard lock(stream->mutex);
      stream->over = why;
    }
    stream->arrived.notify_all();
  }
}

/// There is no way to the head: ends the pool with this reason and stops trying.
void PoolClient::Impl::give_up(Failure why) {
  {
    const std::lock_guard lock(mutex);
    if (!failure) failure = why;
  }
  options.name.empty() ? machine->close(closed_info(why.message)) : machine->abandon(closed_info(why.message));
  flush();
  loop.post([this] { connector.reset(); });  // not from within its own callback
}

}  // namespace dc::client
