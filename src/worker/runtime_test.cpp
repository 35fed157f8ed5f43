// The worker runtime in a real process of its own, over a real socket pair and a real page of claims.
#include "worker/runtime.hpp"

#include <fcntl.h>
#include <gmock/gmock.h>
#include <gtest/gtest.h>
#include <poll.h>
#include <sys/mman.h>
#include <sys/socket.h>
#include <sys/wait.h>
#include <unistd.h>

#include <array>
#include <chrono>
#include <deque>
#include <thread>

#include "wire/claims.hpp"
#include "wire/packet.hpp"

namespace dc::worker {
namespace {

using testing::ElementsAre;

/// "slow": sleeps half a second; "fail": an error; else the text with all updates so far.
class TextRunner final : public JobRunner {
 public:
  Outcome run(Payload arguments) override {
    const std::string text(arguments.view());
    if (text == "slow") ::usleep(500'000);
    if (text == "fail") {
      ErrorInfo error;
      error.message = "as asked";
      return {{}, error};
    }
    return {Payload(text + updates_), {}};
  }
  std::string update(Payload payload) override {
    updates_ += "+" + std::string(payload.view());
    return {};
  }

 private:
  std::string updates_;
};

class RuntimeTest : public testing::Test {
 protected:
  void SetUp() override {
    std::array<int, 2> sockets{};
    ASSERT_EQ(::socketpair(AF_UNIX, SOCK_SEQPACKET, 0, sockets.data()), 0);
    const int page = ::memfd_create("claims", 0);
    ASSERT_EQ(::ftruncate(page, sizeof(wire::Claims)), 0);
    claims_ =
        static_cast<wire::Claims*>(::mmap(nullptr, sizeof(wire::Claims), PROT_READ | PROT_WRITE, MAP_SHARED, page, 0));
    child_ = ::fork();
    if (child_ == 0) {
      const int socket = ::fcntl(sockets[1], F_DUPFD, 20);
      const int claims = ::fcntl(page, F_DUPFD, 20);
      ::dup2(socket, wire::worker_socket_fd);
      ::dup2(claims, wire::worker_claims_fd);
      ::close(socket);
      if (sockets[0] != wire::worker_socket_fd && sockets[0] != wire::worker_claims_fd) ::close(sockets[0]);
      const int code = run_worker([](const wire::Begin& begin) -> std::unique_ptr<JobRunner> {
        if (begin.spec.view() == "broken") {
          ErrorInfo error;
          error.message = "cannot be built";
          throw ConstructionError(error);
        }
        return std::make_unique<TextRunner>();
      });
      ::_exit(code);
    }
    socket_ = sockets[0];
    ::close(sockets[1]);
    ::close(page);
  }
  void TearDown() override {
    ::close(socket_);
    int status = 0;
    ::waitpid(child_, &status, 0);
    ::munmap(claims_, sizeof(wire::Claims));
  }

  void send(std::vector<wire::ToWorker> messages) {
    std::vector<wire::Packet> packets;
    for (const auto& message : messages) wire::append(packets, message);
    for (const auto& packet : packets) ASSERT_EQ(wire::send_packet(socket_, packet, true), wire::SocketResult::done);
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
      if (wire::receive_packet(socket_, true, messages) == wire::SocketResult::closed)
        throw std::runtime_error("closed");
      for (auto& message : messages) received_.push_back(std::move(message));
    }
    wire::FromWorker message = std::move(received_.front());
    received_.pop_front();
    return message;
  }
  std::string next_value() { return std::string(std::get<wire::WorkerValue>(next()).value.view()); }

  int socket_ = -1;
  pid_t child_ = -1;
  wire::Claims* claims_ = nullptr;
  std::deque<wire::FromWorker> received_;
};

TEST_F(RuntimeTest, JobsRunInOrderAndErrorsAreAnswers) {
  begin();
  EXPECT_TRUE(std::holds_alternative<wire::WorkerConstructed>(next()));
  send({job(0, "a"), job(1, "fail"), job(2, "b")});
  EXPECT_EQ(next_value(), "a");
  EXPECT_EQ(std::get<wire::WorkerError>(next()).error.message, "as asked");
  EXPECT_EQ(next_value(), "b");
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
  EXPECT_EQ(std::get<wire::ConstructionFailed>(next()).error.message, "cannot be built");
  int status = 0;
  ASSERT_EQ(::waitpid(child_, &status, 0), child_);
  EXPECT_EQ(WEXITSTATUS(status), 1);
}

TEST_F(RuntimeTest, StopEndsInOrder) {
  begin();
  next();
  send({job(0, "last"), wire::Stop{}});
  int status = 0;
  ASSERT_EQ(::waitpid(child_, &status, 0), child_);
  EXPECT_EQ(WEXITSTATUS(status), 0);
}

}  // namespace
}  // namespace dc::worker
