// For the tests of PoolClient: a stand-in for the head, on a thread of its own, that answers every job with its own
// argument. Tests tell it what to withhold and when to break.
#pragma once

#include <gmock/gmock.h>
#include <gtest/gtest.h>

#include <atomic>
#include <cstdlib>
#include <filesystem>
#include <functional>
#include <future>
#include <map>
#include <memory>
#include <mutex>
#include <optional>
#include <set>
#include <string>
#include <thread>
#include <utility>
#include <vector>

#include "client/pool_client.hpp"
#include "client/test_values_for_tests.hpp"
#include "core/paths.hpp"
#include "net/event_loop.hpp"
#include "net/session.hpp"

namespace dc::client {

/// Keys and sockets of this process go into a directory that goes with it.
inline void use_private_home() {
  static const struct Home {
    Home() {
      std::string pattern = std::filesystem::temp_directory_path() / "dc-client-XXXXXX";
      path = ::mkdtemp(pattern.data());
      ::setenv("DISTRIBUTED_COMPUTING_HOME", path.c_str(), 1);
    }
    ~Home() { std::filesystem::remove_all(path); }
    std::string path;
  } home;
}

class FakeHead {
 public:
  static constexpr const char* password = "correct horse";

  FakeHead() : thread_([this] { loop_.run(); }) {
    use_private_home();
    start();
  }
  ~FakeHead() {
    stop();
    loop_.stop();
    thread_.join();
  }
  FakeHead(const FakeHead&) = delete;
  FakeHead& operator=(const FakeHead&) = delete;

  /// Listens, with an empty memory; on the same port as before.
  void start() {
    on_loop([this] {
      net::ListenOptions options;
      options.addresses = {"127.0.0.1"};
      options.key_file = paths::head_key();
      options.port = port_;
      options.secret = {password};
      options.epoch = ++epoch_;
      options.payload_bytes_max = payload_bytes_max;
      net::SessionHandler handler;
      handler.on_open = [this](net::Session& session) { session_ = &session; };
      handler.on_messages = [this](net::Session& session, std::vector<wire::Message>&& messages) {
        for (wire::Message& message : messages) {
          std::visit([&](auto&& body) { on(session, std::forward<decltype(body)>(body)); }, std::move(message));
        }
      };
      handler.on_close = [this](SessionId id, const Error&) {
        if (session_ && session_->id() == id) session_ = nullptr;
      };
      auto result = net::listen(loop_, std::move(options), std::move(handler));
      ASSERT_TRUE(result) << result.error().message;
      listener_ = std::move(result).value();
      port_ = listener_->port();
      known_.clear(), jobs_.clear();
    });
  }
  /// As if the process were killed.
  void stop() {
    on_loop([this] {
      listener_.reset();
      session_ = nullptr;
    });
  }
  void break_connection() {
    on_loop([this] {
      if (session_) session_->close("broken by the test");
    });
  }
  void send(std::function<wire::Message(PoolId)> make) {
    on_loop([&] { session_->send(make(pool_)); });
  }
  /// Answers what was withheld.
  void release() {
    on_loop([this] {
      withhold = false;
      for (const auto& [sequence, payload] : jobs_) answer(sequence, payload);
    });
  }
  template <class Call>
  void on_loop(Call call) {
    std::promise<void> done;
    loop_.post([&] {
      call();
      done.set_value();
    });
    done.get_future().wait();
  }

  [[nodiscard]] ClientOptions client_options() const {
    ClientOptions options;
    options.address = "127.0.0.1";
    options.port = port_;
    options.unix_path = "/nonexistent/head.sock";
    options.password = password;
    options.pool.label = "Echo";
    return options;
  }

  std::uint64_t payload_bytes_max = limits::payload_bytes_max_default;  ///< for the next start()
  std::atomic<bool> withhold = false;                                   ///< jobs are kept without an answer
  std::atomic<std::size_t> submitted = 0, acknowledged = 0, closed = 0, opened = 0;
  std::function<bool(const Payload& arguments)> fails;       ///< jobs that end in an error; set before the first job
  std::function<bool(const Payload& arguments)> never_ends;  ///< jobs that run for ever; set before the first job
  // Of a named pool, set before the client starts:
  std::optional<ErrorInfo> refuses_to_open, refuses_jobs;
  std::atomic<bool> accepts = true;                            ///< false: jobs are forgotten, nothing is answered
  JobSequence last_sequence = 0;                               ///< of earlier clients
  std::vector<std::pair<JobSequence, std::string>> earlier{};  ///< what they left
  std::atomic<std::size_t> left = 0;
  std::vector<std::string> keys() {
    const std::lock_guard lock(keys_mutex_);
    return keys_;
  }
  std::string update_error;  ///< what handle_update raises; set before the update

 private:
  template <class Other>
  void on(net::Session&, Other&&) {}
  void on(net::Session& session, wire::OpenPool&& message) {
    ++opened;
    named_ = !message.pool_name.empty();
    pool_ = message.pool;
    if (refuses_to_open) return session.send(wire::PoolFailed{pool_, *refuses_to_open});
    if (named_) pool_ = PoolId{message.pool.value + 1};
    known_.insert(pool_);
    wire::PoolOpened answer{message.pool,       pool_, message.options, last_sequence, 0, earlier.size(),
                            message.attach_only};
    if (message.attach_only) answer.options.label = "Echo";
    session.send(std::move(answer));
    session.send(wire::PoolState{pool_, 0, named_ ? 0U : 1U, 1, 2, 2});
  }
  void on(net::Session& session, wire::ResumePool&& message) {
    wire::PoolKnown answer{message.pool, known_.contains(message.pool)};
    answer.last_sequence = jobs_.empty() ? 0 : std::prev(jobs_.end())->first;
    for (std::size_t i = next_earlier_; i < earlier.size(); ++i)
      answer.earlier.insert(answer.earlier.end(), {earlier[i].first, earlier[i].first});
    for (const JobSequence sequence : message.outstanding) {
      if (!jobs_.contains(sequence)) answer.missing.push_back(sequence);
    }
    session.send(answer);
    if (!answer.known || (withhold && !named_)) return;
    const std::set<JobSequence> received(message.received.begin(), message.received.end());
    for (const auto& [sequence, payload] : jobs_) {
      if (received.contains(sequence)) continue;
      if (named_) session.send(wire::JobsAccepted{pool_, {sequence}});
      session.send(wire::JobValues{pool_, {{sequence, payload}}});
    }
  }
  void on(net::Session& session, wire::WantOutcomes&& message) {
    for (std::uint32_t i = 0; i < message.count && next_earlier_ < earlier.size(); ++i, ++next_earlier_) {
      const auto& [sequence, text] = earlier[next_earlier_];
      session.send(wire::JobValues{pool_, {{sequence, Payload::copy(text)}}});
    }
  }
  void on(net::Session&, wire::SubmitJobs&& message) {
    if (named_ && !take_named(message)) return;
    wire::JobValues values{message.pool, {}};
    for (SubmittedJob& job : message.jobs) {
      jobs_[job.sequence] = job.arguments;
      if (withhold || (never_ends && never_ends(job.arguments))) continue;
      if (fails && fails(job.arguments)) {
        session_->send(wire::JobError{
            message.pool, job.sequence, ErrorInfo::of(ErrorKind::job_error, "run raised", "host", 3), {}});
        continue;
      }
      if (job.arguments.size() > limits::inline_payload_max)
        answer(job.sequence, job.arguments);
      else
        values.items.push_back({job.sequence, job.arguments});
    }
    if (!values.items.empty() && session_) session_->send(std::move(values));
    submitted += message.jobs.size();  // last: who waits for it finds all of the above done
  }
  void on(net::Session&, wire::AckOutcomes&& message) {
    if (named_ && session_) session_->send(wire::AcksKept{message.pool, message.sequences});
    acknowledged += message.sequences.size();
    for (const JobSequence sequence : message.sequences) jobs_.erase(sequence);
  }
  void on(net::Session& session, wire::AddUpdate&& message) {
    session.send(wire::UpdateAccepted{message.pool, message.number});
    if (!update_error.empty()) {
      const ErrorInfo error = ErrorInfo::of(ErrorKind::job_error, update_error);
      for (int times = 0; times < 2; ++times)  // nodes say it again after a reconnection
        session.send(wire::UpdateFailed{message.pool, message.number, error, {}});
    }
    session.send(wire::UpdateApplied{message.pool, message.number});
  }
  void on(net::Session& session, wire::WantWorkers&& message) {
    if (message.count > 0 && message.count <= 2) session.send(wire::PoolState{message.pool, message.count, 0, 1, 2, 2});
  }
  void on(net::Session& session, wire::ClosePool&& message) {
    message.leave ? ++left : ++closed;
    session.send(wire::PoolClosed{message.pool});
  }
  void on(net::Session& session, wire::StatusRequest&&) {
    session.send(wire::StatusReply{Payload(std::string("{\"pid\": 1}"))});
  }

  /// Whether the jobs go on as those of any pool.
  bool take_named(wire::SubmitJobs& message) {
    std::vector<JobSequence> sequences;
    for (const SubmittedJob& job : message.jobs) {
      sequences.push_back(job.sequence);
      if (!job.key.empty()) {
        const std::lock_guard lock(keys_mutex_);
        keys_.push_back(job.key);
      }
    }
    if (refuses_jobs) {
      session_->send(wire::JobsRefused{message.pool, sequences, *refuses_jobs});
    } else if (accepts) {
      session_->send(wire::JobsAccepted{message.pool, sequences});
    }
    submitted += accepts && !refuses_jobs ? 0 : message.jobs.size();
    return accepts && !refuses_jobs;
  }

  void answer(JobSequence sequence, const Payload& payload) {
    if (session_) session_->send(wire::JobValues{pool_, {{sequence, payload}}}, sequence);
  }

  net::EventLoop loop_;
  std::unique_ptr<net::Listener> listener_;
  net::Session* session_ = nullptr;
  std::uint16_t port_ = 0;
  std::uint32_t epoch_ = 0;
  PoolId pool_;
  bool named_ = false;
  std::size_t next_earlier_ = 0;
  std::mutex keys_mutex_;
  std::vector<std::string> keys_;
  std::set<PoolId> known_;
  std::map<JobSequence, Payload> jobs_;  ///< not acknowledged
  std::thread thread_;
};

/// What a client said, for several threads.
class Notices {
 public:
  void add(const std::string& text) {
    const std::lock_guard lock(mutex_);
    all_.push_back(text);
    said_.notify_all();
  }
  std::vector<std::string> wait_for(std::size_t count) {
    std::unique_lock lock(mutex_);
    said_.wait_for(lock, std::chrono::seconds(10), [&] { return all_.size() >= count; });
    return all_;
  }

 private:
  std::mutex mutex_;
  std::condition_variable said_;
  std::vector<std::string> all_;
};

}  // namespace dc::client
