// For the tests: a worker's process of its own, over a real socket pair and a real page of claims.
#pragma once

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
#include "worker/runtime.hpp"

namespace dc::worker {

inline std::array<int, 2> said;           ///< a pipe: what the runner does at its end
inline volatile std::sig_atomic_t usr1s;  ///< signals that came

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

}  // namespace dc::worker
