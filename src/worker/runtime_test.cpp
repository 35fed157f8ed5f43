// The worker runtime in a real process of its own, over a real socket pair and a real page of claims.
#include "worker/runtime.hpp"

#include <dlfcn.h>
#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <algorithm>
#include <array>
#include <chrono>
#include <csignal>
#include <deque>
#include <msgpack.hpp>
#include <optional>
#include <sstream>
#include <thread>

#include "core/limits.hpp"
#include "distributed_computing/detail/worker_entry.hpp"
#include "wire/claims.hpp"
#include "wire/packet.hpp"

namespace dc::worker {
namespace {

using testing::ElementsAre;

std::array<int, 2> said;           ///< a pipe: what the runner does at its end
volatile std::sig_atomic_t usr1s;  ///< signals that came

/// "slow": sleeps half a second; "fail": an error; "cuda": one that CUDA does not survive; "fork": the exit status of a
/// copy that returns, too; else the text with all updates so far.
class TextRunner final : public JobRunner {
 public:
  Outcome run(Payload arguments) override {
    const std::string text(arguments.view());
    if (text == "slow") ::usleep(500'000);
    if (text == "signal") {  // one whose handler has run, but that interrupts nothing
      usr1s = 2;
      [[maybe_unused]] const auto written = ::write(signals_[1], "x", 1);
    }
    if (text == "fork") {
      const pid_t copy = ::fork();
      if (copy == 0) return {Payload::copy(std::string_view("from the copy")), {}};
      int status = -1;
      ::waitpid(copy, &status, 0);
      return {Payload(std::to_string(status)), {}};
    }
    if (text == "cuda") ::dlopen(FAKE_CUDA, RTLD_NOW);
    if (text == "fail" || text == "cuda") return {{}, ErrorInfo::of(ErrorKind::job_error, "as asked")};
    return {Payload(text + updates_), {}};
  }
  Outcome update(Payload payload) override {
    if (payload.view() == "bad") {
      return {Payload(std::string(limits::inline_payload_max + 1, 'e')),
              ErrorInfo::of(ErrorKind::job_error, "KeyError: 'bad'", "here")};
    }
    updates_ += "+" + std::string(payload.view());
    return {};
  }
  [[nodiscard]] int signal_fd() const override { return signals_[0]; }
  std::optional<int> signalled() override { return usr1s == 2 ? std::optional(5) : std::nullopt; }
  void close(bool terminated) override {
    [[maybe_unused]] const auto written = ::write(said[1], terminated ? "T" : "C", 1);
  }

 private:
  static std::array<int, 2> new_pipe() {
    std::array<int, 2> ends{};
    EXPECT_EQ(::pipe(ends.data()), 0);
    return ends;
  }
  const std::array<int, 2> signals_ = new_pipe();
  std::string updates_;
};

class RuntimeTest : public testing::Test {
 protected:
  /// Of the worker, which ends within 5 s; until then this is done every 10 ms.
  template <class Meanwhile>
  int exit_code(Meanwhile meanwhile) {
    int status = 0;
    for (int i = 0; i < 500 && ::waitpid(child_, &status, WNOHANG) == 0; ++i, ::usleep(10'000)) meanwhile();
    return WEXITSTATUS(status);
  }
  void SetUp() override {
    std::array<int, 2> sockets{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets.data()), 0);
    const int page = ::memfd_create("claims", 0);
    ASSERT_EQ(::ftruncate(page, sizeof(wire::Claims)), 0);
    claims_ =
        static_cast<wire::Claims*>(::mmap(nullptr, sizeof(wire::Claims), PROT_READ | PROT_WRITE, MAP_SHARED, page, 0));
    ASSERT_EQ(::pipe2(said.data(), O_NONBLOCK), 0);
    child_ = ::fork();
    if (child_ == 0) {
      said[1] = ::fcntl(said[1], F_DUPFD, 20);
      const int socket = ::fcntl(sockets[1], F_DUPFD, 20);
      const int claims = ::fcntl(page, F_DUPFD, 20);
      ::dup2(socket, wire::worker_socket_fd);
      ::dup2(claims, wire::worker_claims_fd);
      ::close(socket);
      if (sockets[0] != wire::worker_socket_fd && sockets[0] != wire::worker_claims_fd) ::close(sockets[0]);
      serve();
    }
    socket_ = sockets[0];
    reader_.emplace(socket_);
    ::close(sockets[1]);
    ::close(page);
  }
  /// The child's part.
  virtual void serve() {
    struct sigaction count {};  // without SA_RESTART, as Python's handlers are
    count.sa_handler = [](int) { usr1s = usr1s < 2 ? usr1s + 1 : 2; };
    ::sigaction(SIGUSR1, &count, nullptr);
    const int code = run_worker([](const wire::Begin& begin) -> std::unique_ptr<JobRunner> {
      if (begin.spec.view() == "broken")
        throw ConstructionError(ErrorInfo::of(ErrorKind::worker_init_error, "cannot be built"));
      return std::make_unique<TextRunner>();
    });
    ::_exit(code);
  }
  void TearDown() override {
    ::close(socket_);
    int status = 0;
    ::waitpid(child_, &status, 0);
    for (const int end : said) ::close(end);
    ::munmap(claims_, sizeof(wire::Claims));
  }

  void send(std::vector<wire::ToWorker> messages) {
    std::vector<wire::Packet> packets;
    for (const auto& message : messages) wire::append(packets, message);
    for (auto& packet : packets) ASSERT_EQ(wire::send_packet(socket_, packet, true), wire::SocketResult::done);
  }
  void begin(const char* spec = "fine") {
    wire::Begin message;
    message.spec = Payload::copy(std::string_view(spec));
    send({message, wire::HistoryEnd{}});
  }
  static wire::WorkerJob job(std::uint64_t index, std::string text) { return {index, Payload(std::move(text))}; }
  /// The next message, within five seconds.
  wire::FromWorker next() {
    while (received_.empty()) {
      pollfd ready{socket_, POLLIN, 0};
      if (::poll(&ready, 1, 5000) != 1) throw std::runtime_error("no answer");
      std::vector<wire::FromWorker> messages;
      if (reader_->receive(true, messages) == wire::SocketResult::closed) throw std::runtime_error("closed");
      for (auto& message : messages) received_.push_back(std::move(message));
    }
    wire::FromWorker message = std::move(received_.front());
    received_.pop_front();
    return message;
  }
  int exit_status() const {
    int status = 0;
    return ::waitpid(child_, &status, 0) == child_ && WIFEXITED(status) ? WEXITSTATUS(status) : -1;
  }
  static std::string heard() {
    std::string text(10, ' ');
    text.resize(static_cast<std::size_t>(std::max<ssize_t>(0, ::read(said[0], text.data(), text.size()))));
    return text;
  }
  std::string next_value() { return std::string(std::get<wire::WorkerValue>(next()).value.view()); }

  int socket_ = -1;
  std::optional<wire::PacketReader<wire::FromWorker>> reader_;
  pid_t child_ = -1;
  wire::Claims* claims_ = nullptr;
  std::deque<wire::FromWorker> received_;
};

TEST_F(RuntimeTest, JobsRunInOrderAndErrorsAreAnswers) {
  begin();
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  send({job(0, "a"), job(1, "fail"), job(2, "b")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error->message, "as asked");
  EXPECT_EQ(next_value(), "b");
}

TEST_F(RuntimeTest, AJobAfterWhichCudaIsDeadIsTheLast) {
  begin();
  next();
  send({job(0, "cuda"), job(1, "b")});
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error->message, "as asked");
  EXPECT_EQ(exit_status(), 1);
  EXPECT_FALSE(claims_->started(1));
}

TEST_F(RuntimeTest, AJobThatWasTakenBackIsSkipped) {
  begin();
  next();
  for (std::uint64_t i = 0; i < 3; ++i) claims_->hand(i);
  ASSERT_TRUE(claims_->take_back(1));
  send({job(0, "a"), job(1, "b"), job(2, "c")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(next_value(), "c");
  EXPECT_TRUE(claims_->started(2));
  EXPECT_FALSE(claims_->take_back(2));
}

TEST_F(RuntimeTest, AnUpdatePassesJobsThatWait) {
  begin();
  next();
  send({job(0, "slow"), job(1, "after")});
  while (!claims_->started(0)) std::this_thread::yield();
  send({wire::WorkerUpdate{1, Payload::copy(std::string_view("news"))}});
  claims_->update_sent.store(1);
  EXPECT_EQ(next_value(), "slow");
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).number, 1U);
  EXPECT_EQ(next_value(), "after+news");
}

TEST_F(RuntimeTest, AnUpdateThatRaisedIsATypedErrorAndTheWorkerGoesOn) {
  begin();
  next();
  send({wire::WorkerUpdate{1, Payload::copy(std::string_view("bad"))},
        wire::WorkerUpdate{2, Payload::copy(std::string_view("good"))}, job(0, "x")});
  const auto done = std::get<wire::UpdateDone>(next());
  EXPECT_TRUE(done.failed);
  EXPECT_EQ(done.error->message,
            "handle_update raised for update 1 on here slot 0: KeyError: 'bad' (the exception itself, 65537 bytes "
            "pickled, was left out)");
  EXPECT_TRUE(done.exception.empty());
  EXPECT_FALSE(std::get<wire::UpdateDone>(next()).failed);
  EXPECT_EQ(next_value(), "x+good");
}

/// With a history of which the node has not sent all.
TEST_F(RuntimeTest, UpdatesAreAppliedAsTheyCome) {
  claims_->update_sent.store(2);
  send({wire::Begin{}, wire::WorkerUpdate{1, Payload::copy(std::string_view("a"))}});
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).number, 1U);
  send({wire::WorkerUpdate{2, Payload::copy(std::string_view("b"))}, wire::HistoryEnd{}, job(0, "x")});
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).number, 2U);
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  EXPECT_EQ(next_value(), "x+a+b");
}

TEST_F(RuntimeTest, AResultDoesNotWaitForTheLongJobBehindIt) {
  begin();
  next();
  send({job(0, "quick"), job(1, "slow")});
  const auto start = std::chrono::steady_clock::now();
  EXPECT_EQ(next_value(), "quick");
  EXPECT_LT(std::chrono::steady_clock::now() - start, std::chrono::milliseconds(400));
  EXPECT_EQ(next_value(), "slow");
}

TEST_F(RuntimeTest, ManyJobsAndLargePayloads) {
  begin();
  next();
  std::vector<wire::ToWorker> jobs;
  for (std::uint64_t i = 0; i < 1000; ++i) jobs.push_back(job(i, std::to_string(i)));
  send(std::move(jobs));
  for (int i = 0; i < 1000; ++i) ASSERT_EQ(next_value(), std::to_string(i));
  const std::string large(3 << 20, 'x');
  send({job(1000, large)});
  EXPECT_EQ(next_value(), large);
}

TEST_F(RuntimeTest, AConstructorThatFailsEndsTheProcess) {
  begin("broken");
  EXPECT_EQ(std::get<wire::ConstructionFailed>(next()).error->message, "cannot be built");
  int status = 0;
  ASSERT_EQ(::waitpid(child_, &status, 0), child_);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(RuntimeTest, StopEndsInOrder) {
  begin();
  next();
  send({job(0, "last"), wire::Stop{}});
  EXPECT_EQ(exit_status(), 0);
  EXPECT_EQ(heard(), "C");
}

TEST_F(RuntimeTest, AStopBehindSigtermSaysSo) {
  begin();
  next();
  send({wire::Stop{1}});
  EXPECT_EQ(exit_status(), 0);
  EXPECT_EQ(heard(), "T");
}

TEST_F(RuntimeTest, ACopyThatComesOutOfRunEndsAndSaysNothing) {
  begin();
  next();
  send({job(0, "fork"), job(1, "b")});
  EXPECT_EQ(next_value(), "0");
  EXPECT_EQ(next_value(), "b");
}

TEST_F(RuntimeTest, ASignalIsAttendedToWhileNothingRunsAndMayEndTheWorker) {
  begin();
  next();
  send({job(0, "a")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(exit_code([&] { ::kill(child_, SIGUSR1); }), 5);  // the second one ends it, and more do no harm
  EXPECT_EQ(heard(), "T");
}

TEST_F(RuntimeTest, ASignalThatComesJustBeforeTheWaitEndsItToo) {
  begin();
  next();
  send({job(0, "signal")});
  EXPECT_EQ(next_value(), "signal");
  EXPECT_EQ(exit_code([] {}), 5);
}

// --- Classes in C++ -----------------------------------------------------------------------------------------------

/// What `what()` gives may be of any length and any bytes.
class OddObject final : public detail::WorkerObject {
 public:
  OddObject() {
    std::signal(SIGTERM, [](int) { say("H"); });
    std::atexit([] { say("A"); });
  }
  ~OddObject() override { say("D"); }
  std::string run(std::string_view what) override {
    if (what == "long") throw std::runtime_error("begin" + std::string(10 << 20, '\xfe') + "end");
    if (what == "number") throw 42;
    if (what == "exit") std::exit(42);
    return std::string(what);
  }
  void update(std::string_view what) override { run(what); }

 private:
  static void say(const char* what) { [[maybe_unused]] const auto written = ::write(said[1], what, 1); }
};
const bool odd_registered =
    detail::register_worker("Odd", [](const msgpack::object& arguments) -> std::unique_ptr<detail::WorkerObject> {
      const auto how = arguments.as<std::string>();
      if (how == "number") throw 42;
      if (how == "long") throw std::runtime_error(std::string(10 << 20, 'x'));
      return std::make_unique<OddObject>();
    });

class CppWorkerTest : public RuntimeTest {
 protected:
  void serve() override { detail::worker_main(); }
  void begin_with(const std::string& how) {
    std::ostringstream spec;
    msgpack::pack(spec, std::make_tuple(std::string("Odd"), how));
    wire::Begin message;
    message.options->label = "Odd";
    message.host = "here";
    message.spec = Payload(spec.str());
    send({message, wire::HistoryEnd{}});
  }
};

TEST_F(CppWorkerTest, WhateverIsThrownIsAnErrorOfTheJobOrUpdate) {
  ASSERT_TRUE(odd_registered);
  begin_with("fine");
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  send({job(0, "long"), job(1, "number"), job(2, "fine")});
  const ErrorInfo error = *std::get<wire::WorkerError>(next()).error;
  EXPECT_TRUE(error.message.starts_with("std::runtime_error: begin")) << error.message.substr(0, 100);
  EXPECT_TRUE(error.message.ends_with("end"));
  EXPECT_LE(error.message.size(), limits::error_text_bytes_max);
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error->message, "run threw something that is no std::exception");
  EXPECT_EQ(next_value(), "fine");
  send({wire::WorkerUpdate{1, Payload::copy(std::string_view("long"))},
        wire::WorkerUpdate{2, Payload::copy(std::string_view("number"))}, job(3, "still there")});
  EXPECT_EQ(std::get<wire::UpdateDone>(next()).error->type_name, "std::runtime_error");
  EXPECT_EQ(
      std::get<wire::UpdateDone>(next()).error->message,
      "handle_update raised for update 2 on here slot 0: handle_update threw something that is no std::exception");
  EXPECT_EQ(next_value(), "still there");
}

TEST_F(CppWorkerTest, AtItsEndItsHandlerItsDestructorAndTheProgramsEndRun) {
  begin_with("fine");
  next();
  send({wire::Stop{}});
  EXPECT_EQ(exit_status(), 0);
  EXPECT_EQ(heard(), "HDA");
}

TEST_F(CppWorkerTest, ExitInRunIsTheProcessesEnd) {
  begin_with("fine");
  next();
  send({job(0, "exit")});
  EXPECT_EQ(exit_status(), 42);
  EXPECT_EQ(heard(), "A");
}

TEST_F(CppWorkerTest, AConstructorThatThrowsANumber) {
  begin_with("number");
  EXPECT_EQ(std::get<wire::ConstructionFailed>(next()).error->message,
            "the constructor of Odd on here slot 0 threw something that is no std::exception");
}

TEST_F(CppWorkerTest, AConstructorThatSaysMuch) {
  begin_with("long");
  EXPECT_LE(std::get<wire::ConstructionFailed>(next()).error->message.size(), limits::error_text_bytes_max);
}

}  // namespace
}  // namespace dc::worker
