// What all client processes have in common: a pool's plan, and jobs of it.
#pragma once

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
  JobRecord& new_record(PoolId pool);
  static Payload payload(const std::string& text, std::size_t bytes);

  Ledger& ledger_;
  const PoolPlan& plan_;
  const std::size_t number_;

 private:
  Conduct draw_conduct();
};

}  // namespace dc::sim
