// A client process and its user, who submits, updates, consumes slowly, changes their mind, and closes.
#pragma once

#include <deque>
#include <vector>

#include "client.hpp"

namespace dc::sim {

class ClientProcess : public Client {
 public:
  ClientProcess(World& world, Ledger& ledger, Network& network, const Plan& plan, std::size_t number);

  void start() override;
  void crash() override;
  /// The user closes the pool now, whatever is under way.
  void close();
  [[nodiscard]] PoolId pool() const { return pool_; }
  [[nodiscard]] bool over() const override { return over_; }

 private:
  void session_opened() override;
  void session_closed() override;
  void take(client::Effects& effects) override;
  void take(const client::Report& report);
  void ends() override;

  void user_acts();
  void wake_user(Duration delay);
  void submit_some();
  client::NewJob new_job();
  void consume();
  void send_update();
  void maybe_drop_stream();
  [[nodiscard]] bool all_consumed() const;

  PoolId pool_;
  bool over_ = false, user_awake_ = false, ended_ = false;
  TimePoint last_session_{};

  std::size_t submitted_ = 0, consumed_ = 0, updates_ = 0;
  std::deque<JobSequence> arrived_;  ///< outcomes that the consumer has not taken
  bool consuming_ = false;
};

}  // namespace dc::sim
