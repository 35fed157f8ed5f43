// What all client processes have in common: the machines of client/ with a thin thread around them, as pool_loop.cpp
// is one; a pool's plan, and jobs of it.
#pragma once

#include <optional>

#include "client/client_machine.hpp"
#include "client/leaving_machine.hpp"
#include "ledger.hpp"
#include "peer.hpp"
#include "plan.hpp"

namespace dc::sim {

/// So long a client waits for the head's answer when it closes its pool.
inline constexpr Duration close_timeout = 10s;
/// How a pool ends that its user closes.
ErrorInfo closed_by_user();

class Client : public Peer {
 public:
  Client(World& world, Ledger& ledger, Network& network, const Plan& plan, std::size_t number, std::string name);

  virtual void start() = 0;
  /// The process is gone without a word.
  virtual void crash() = 0;
  /// It has come to its end, and no other follows.
  [[nodiscard]] virtual bool over() const = 0;
  /// From now on all is well.
  virtual void faults_are_over() {}

 protected:
  // --- The thread around the machines ---
  /// A program begins.
  void begin(client::ClientMachine::Config config, PeerIdentity identity);
  void flush();
  void begin_leaving();
  void begin_closing();
  /// For the user, after every turn.
  virtual void take(client::Effects& effects) = 0;
  /// The pool that it leaves is given up without an answer of the head.
  virtual void abandons() {}
  /// Nothing is waited for any more: the process has said goodbye if it could, and ends.
  virtual void ends() = 0;

  void session_opened() override;
  void heard(std::vector<wire::Message>&& messages) override;
  void session_closed() override;

  JobRecord& new_record(PoolId pool);
  static Payload payload(const std::string& text, std::size_t bytes);

  Ledger& ledger_;
  const PoolPlan& plan_;
  const std::size_t number_;
  std::optional<client::ClientMachine> machine_;
  client::LeavingMachine leaving_;

 private:
  void look_at_leaving();
  void arm(TimePoint when);
  Conduct draw_conduct();

  TimePoint armed_for_ = never;
};

}  // namespace dc::sim
