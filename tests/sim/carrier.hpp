// What a session does to a message on its way: the product's encoder makes bytes of it, its rules say how long they may
// be, and its decoder makes a message of them again. That costs more than all the rest: in most seeds only those
// messages are looked at which can grow, and the others travel as they are.
#pragma once

#include "network.hpp"

namespace dc::sim {

class Carrier {
 public:
  explicit Carrier(World& world) : world_(world) {}
  /// From now on every message becomes bytes and a message again.
  void carry_all() { all_ = true; }
  /// Between a head and this peer, from that side.
  void carry(wire::Message& message, wire::Role peer, Side from) const;

 private:
  void check_rules(const wire::Message& message, std::size_t bytes, const std::vector<Payload>& external) const;

  World& world_;
  bool all_ = false;
};

}  // namespace dc::sim
