// Sessions in, effects out: one flush of the machine per turn of the loop.
#include "head/head_service.hpp"

#include <fmt/format.h>
#include <malloc.h>
#include <unistd.h>

#include <algorithm>
#include <csignal>
#include <memory>
#include <nlohmann/json.hpp>
#include <optional>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "core/lock_file.hpp"
#include "core/log.hpp"
#include "core/open_files.hpp"
#include "core/output.hpp"
#include "core/paths.hpp"
#include "core/printable.hpp"
#include "core/side_thread.hpp"
#include "head/head_machine.hpp"
#include "head/head_sessions.hpp"
#include "head/headship_machine.hpp"
#include "head/kept_files.hpp"
#include "head/store_work.hpp"
#include "head/take_store.hpp"
#include "head/unused_memory.hpp"
#include "head/wall_clock.hpp"
#include "store/journal_thread.hpp"

namespace dc::head {
namespace {

class HeadService {
 public:
  HeadService(HeadOptions options, std::uint32_t epoch, TakenStore taken, KeptFiles& files)
      : options_(std::move(options)),
        files_(files),
        epoch_(epoch),
        headship_(taken.term),
        store_name_(taken.store ? taken.store->description() : "nowhere (--store none)"),
        machine_({epoch, static_cast<std::uint32_t>(::getpid()), options_.port, net::host_name(),
                  options_.shown_address, taken.store != nullptr, store_name_, net::log_of_pool, options_.bounds},
                 net::EventLoop::now()),
        store_(std::move(taken.store)) {}

  int run() {
    if (const auto found = store_ ? find_pools() : boost::outcome_v2::success(); !found) {
      output::to_stderr(fmt::format("start_node: {}\n", found.error().message));
      return found.error().code == ErrorCode::fenced ? exit_fenced : exit_error;
    }
    raise_open_files_limit();  // the node beside this head is a process of its own already
    auto listener = net::listen(loop_, listen_options(), handler());
    if (!listener) {
      output::to_stderr(fmt::format("start_node: {}\n", listener.error().message));
      return listener.error().code == ErrorCode::io ? exit_port_in_use : exit_error;
    }
    listener_ = std::move(listener.value());
    files_.keep_socket(loop_, [this](net::LocalSocket socket) {
      if (!headship_.over()) listener_->renew_socket(std::move(socket));
    });
    signals_ = loop_.on_signals({SIGTERM, SIGINT, SIGHUP}, [this](int signal) { stop(signal); });
    if (options_.child_pidfd >= 0) child_ = loop_.watch(options_.child_pidfd, [this] { child_ended(); });
    if (store_) start_journal();
    if (options_.on_listening) options_.on_listening(listener_->fingerprint(), store_name_);
    machine_.door_opened(net::EventLoop::now());
    look_at_memory();
    schedule_flush();
    loop_.run();
    listener_.reset();
    store_work_.reset();
    journal_.reset();
    return exit_code_;
  }

 private:
  /// Those that earlier heads have kept. They are read when the journal's thread runs.
  Result<void> find_pools() {
    BOOST_OUTCOME_TRY(logs, store_->logs());
    machine_.await_pools(logs, store_->sizes(), net::EventLoop::now(), effects_);
    // The head before may still speak.
    while (store_->silence_left() > Duration::zero()) {
      std::this_thread::sleep_for(std::min<Duration>(store_->silence_left(), limits::store_hold_look_interval));
      store_->moved(store::Part::loop);
    }
    return boost::outcome_v2::success();
  }

  net::ListenOptions listen_options() {
    net::ListenOptions listen;
    listen.addresses = options_.addresses;
    listen.port = options_.port;
    listen.unix_path = paths::head_socket(options_.port);
    listen.key_file = paths::head_key();
    listen.secret = options_.secret;
    listen.epoch = epoch_;
    listen.term = [this] { return headship_.term(); };
    listen.admits = [this] { return hold() == store::Hold::ours; };
    return listen;
  }

  void start_journal() {
    store::JournalThread::Handler handler;
    handler.wake = [this] { loop_.post([this] { journal_moved(); }); };
    journal_ = std::make_unique<store::JournalThread>(std::move(store_), std::move(handler));
    store_work_ = std::make_unique<StoreWork>(*journal_, loop_, machine_, effects_);
    look_at_hold();
  }

  void journal_moved() {
    if (!journal_ || headship_.over()) return;
    if (hold() == store::Hold::lost) return (void)is_head();
    if (const std::uint64_t raised = journal_->raised_term(); raised > headship_.term()) {
      log::info("a peer was told of a higher term than this head's, which still has the store: it has term {} now",
                raised);
      headship_.term_raised(raised);
    }
    if (std::string trouble = journal_->trouble(); trouble != machine_.store_trouble()) {
      log::warning("{}", trouble.empty() ? "the store " + store_name_ + " takes entries again" : trouble);
      machine_.store_trouble(std::move(trouble));
    }
    if (!is_head()) return;
    take_done();
    schedule_flush();
  }

  void take_done() {
    machine_.wall_time(wall_now());
    std::vector<store::Journaled> done = journal_->take_done();
    std::erase_if(done, [this](const store::Journaled& one) { return store_work_->ended(one); });
    machine_.journaled(std::move(done), net::EventLoop::now(), effects_);
    sessions_.loaded(journal_->take_loaded());
  }

  // --- Is this still the head? headship_machine.hpp decides --------------------------------------------------------

  [[nodiscard]] store::Hold hold() const { return journal_ ? journal_->hold() : store::Hold::ours; }

  bool is_head() {
    HeadshipEffects todo;
    const bool is = headship_.look(hold(), net::EventLoop::now(), todo);
    carry_out(todo);
    return is;
  }

  void carry_out(HeadshipEffects& todo) {
    for (HeadshipEffect& effect : todo) std::visit([this](auto& body) { carry_out(body); }, effect);
  }

  void carry_out(BreakOff& effect) {
    if (effect.begins) {
      log::warning(
          "the store {} has not confirmed for {} s that this is the head: all connections are broken off until "
          "it does",
          store_name_, std::chrono::seconds(limits::store_lease).count());
    }
    sessions_.clear();
    lost_timer_.reset();
    listener_->break_off();
  }

  void carry_out(GoOn& effect) {
    log::info("the store {} confirms that this is the head: it goes on", store_name_);
    take_done();
    lost_timer_ = loop_.call_at(effect.look_at, [this] { (void)is_head(); });
    schedule_flush();
  }

  void carry_out(LoseSession& effect) {
    machine_.session_closed(effect.session, net::EventLoop::now(), effects_);
    schedule_flush();
  }

  void carry_out(RaiseTerm& effect) { journal_->raise_term(effect.above); }

  void carry_out(StepDown&) {
    log::error(
        "another head has taken the store {} while this one was frozen or cut off from it, or the store does not know "
        "this one any more ({}): this one steps down, and nothing more is heard from it. Start it again with --standby "
        "to have it stand by",
        store_name_, journal_->trouble());
    exit_code_ = exit_fenced;
    files_.leave_socket();
    listener_->break_off();
    if (options_.on_stop) options_.on_stop();
    loop_.stop();
  }

  void look_at_hold() {
    if (headship_.term() == 0) return;
    journal_->loop_moved();
    (void)is_head();
    hold_timer_ = loop_.call_at(net::EventLoop::now() + limits::store_hold_look_interval, [this] { look_at_hold(); });
  }

  void look_at_memory() {
    const TimePoint now = net::EventLoop::now();
    unused_memory_.give_back(now);
    memory_timer_ = loop_.call_at(now + limits::unused_memory_interval, [this] { look_at_memory(); });
  }

  // --- Sessions ---------------------------------------------------------------------------------------------------

  net::SessionHandler handler() {
    net::SessionHandler handler;
    handler.on_open = [this](net::Session& session) {
      if (!is_head()) return;
      sessions_.opened(session);
      const net::Peer& peer = session.peer();
      HeadshipEffects todo;
      headship_.session_opened(session.id(), peer.term, todo);
      carry_out(todo);
      machine_.session_opened(session.id(), {peer.role, peer.id, peer.host, peer.pid, peer.address},
                              net::EventLoop::now(), effects_);
      schedule_flush();
    };
    handler.on_messages = [this](net::Session& session, std::vector<wire::Message>&& messages) {
      if (!is_head() || !sessions_.contains(session.id())) return;
      machine_.on_messages(session.id(), std::move(messages), net::EventLoop::now(), effects_);
      schedule_flush();
    };
    handler.on_close = [this](SessionId id, const Error& why) {
      if (!sessions_.closed(id)) return;
      log::debug("session {} closed: {}", id.value, why.message);
      session_closed(id);
    };
    return handler;
  }

  void session_closed(SessionId id) {
    HeadshipEffects todo;
    headship_.session_closed(id, hold(), net::EventLoop::now(), todo);
    carry_out(todo);
  }

  void schedule_flush() {
    if (std::exchange(flush_scheduled_, true)) return;
    loop_.at_turn_end([this] { flush(); });
  }

  void flush() {
    flush_scheduled_ = false;
    if (!is_head()) return;
    machine_.wall_time(wall_now());
    machine_.flush(net::EventLoop::now(), effects_);
    for (Effect& effect : effects_) std::visit([this](auto& body) { carry_out(body); }, effect);
    effects_.clear();
    sessions_.cut_off_deaf();
    const TimePoint next = machine_.next_deadline();
    if (next == timer_at_ && timer_) return;
    timer_at_ = next;
    timer_ = next == never ? nullptr : loop_.call_at(next, [this] {
      timer_at_ = never;
      schedule_flush();
    });
  }

  void carry_out(Send& send) { sessions_.send(send); }

  void answered(SessionId id) {
    if (!is_head()) return;
    machine_.answered(id, net::EventLoop::now(), effects_);
    schedule_flush();
  }

  /// Payloads of what was to be sent are damaged.
  void unreadable(Unreadable&& unreadable) {
    log::error("{}", unreadable.problem);
    machine_.unreadable(std::move(unreadable.send), unreadable.problem, net::EventLoop::now(), effects_);
    schedule_flush();
  }

  void carry_out(CloseSession& close) { sessions_.close(close); }
  void carry_out(JournalWrite& write) {
    journal_->write(write.ticket, write.log, write.number, std::move(write.entry), std::move(write.erased),
                    write.refusable);
  }
  void carry_out(JournalRemove& remove) { journal_->remove(remove.ticket, remove.log); }
  void carry_out(JournalRead& read) { store_work_->read(read); }
  void carry_out(JournalRepair& repair) { store_work_->repair(repair); }
  void carry_out(HashProgram& program) {
    side_.run([this, post = loop_.poster(), asked = std::make_shared<HashProgram>(std::move(program))] {
      std::string hash = net::content_hash(asked->program.bytes());
      post([this, asked, hash = std::move(hash)] {
        if (!is_head()) return;  // its sessions are gone
        machine_.program_hashed(std::move(*asked), hash, net::EventLoop::now(), effects_);
        schedule_flush();
      });
    });
  }
  void carry_out(Log& entry) { log::info("{}", entry.text); }

  void child_ended() {
    child_->want_read(false);  // the descriptor stays readable for ever
    if (!headship_.over() && options_.on_child_end) options_.on_child_end();
  }

  /// The first signal: everybody is told. A second one: at once; those that come together are one.
  void stop(int signal) {
    const TimePoint now = net::EventLoop::now();
    if (asked_at_ && now - *asked_at_ < limits::signals_are_one) return;
    if (!headship_.end()) return loop_.stop();
    asked_at_ = now;
    log::info("signal {}: shutting down", signal);
    files_.leave_socket();
    if (options_.on_stop) options_.on_stop();
    listener_->shut_down("the head is shutting down", [this] { loop_.stop(); });
  }

  HeadOptions options_;
  KeptFiles& files_;
  std::optional<TimePoint> asked_at_;  ///< to end, by a signal
  std::uint32_t epoch_;
  HeadshipMachine headship_;
  std::string store_name_;
  net::EventLoop loop_;
  HeadMachine machine_;
  std::unique_ptr<store::Store> store_;  ///< until the journal's thread has it
  std::unique_ptr<store::JournalThread> journal_;
  std::unique_ptr<StoreWork> store_work_;
  std::unique_ptr<net::Listener> listener_;
  std::unique_ptr<net::EventLoop::SignalWatch> signals_;
  std::unique_ptr<net::FdWatch> child_;
  std::unique_ptr<net::Timer> timer_;
  TimePoint timer_at_ = never;
  HeadSessions sessions_{
      {.may_speak = [this] { return is_head(); },
       .load = [this](LoadPayloads&& load) { journal_->load(load.ticket, std::move(load.payloads)); },
       .unreadable = [this](Unreadable&& message) { unreadable(std::move(message)); },
       .answered = [this](SessionId id) { answered(id); },
       .lost = [this](SessionId id) { session_closed(id); }}};
  Effects effects_;
  std::unique_ptr<net::Timer> hold_timer_, lost_timer_, memory_timer_;
  UnusedMemory unused_memory_;
  bool flush_scheduled_ = false;
  int exit_code_ = exit_fine;
  SideThread side_;  ///< hashes programs
};

}  // namespace

int run_head(HeadOptions options) {
  log::set_up("head");
  // Large payloads come and go: what they took is to be the system's again, and not to stay between smaller things.
  ::mallopt(M_MMAP_THRESHOLD, static_cast<int>(limits::heap_payload_max));
  std::signal(SIGPIPE, SIG_IGN);  // a closed terminal or pipe behind stdout and stderr is no reason to end
  const auto complain = [](ExitCode code, const std::string& text) {
    output::to_stderr(fmt::format("start_node: {}\n", printable(text, limits::log_line_bytes_max)));
    return code;
  };
  auto taken = LockFile::take(paths::head_file(options.port));
  if (!taken.problem.empty()) return complain(exit_error, taken.problem);
  if (!taken.owner.empty()) {
    const auto owner = nlohmann::json::parse(taken.owner, nullptr, false);
    const bool named = owner.is_object() && owner.contains("pid");
    return complain(exit_port_in_use,
                    fmt::format("a head already runs on port {} of this machine{}: end it first, or choose another "
                                "port with -p",
                                options.port, named ? fmt::format(" (pid {})", owner["pid"].dump()) : ""));
  }
  const nlohmann::json json{{"pid", ::getpid()}, {"port", options.port}, {"address", options.shown_address}};
  if (const std::string problem = taken.lock.write(json.dump()); !problem.empty()) return complain(exit_error, problem);
  KeptFiles files(std::move(taken.lock), options.port);
  const auto epoch = static_cast<std::uint32_t>(net::random_id() | 1);
  if (const std::string problem = paths::make_private_dir(paths::state_dir()); !problem.empty())
    return complain(exit_error, problem);
  auto store = take_store(options);
  if (!store) {
    const ErrorCode code = store.error().code;
    return complain(code == ErrorCode::fenced    ? exit_fenced
                    : code == ErrorCode::invalid ? exit_usage
                                                 : exit_error,
                    store.error().message);
  }
  if (store.value().stopped) return exit_fine;
  return HeadService(std::move(options), epoch, std::move(store.value()), files).run();
}

}  // namespace dc::head
