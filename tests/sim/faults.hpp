// What goes wrong, and when.
#pragma once

#include "cluster.hpp"

namespace dc::sim {

class Faults {
 public:
  explicit Faults(Cluster& cluster) : in_(cluster) {}
  /// Puts down the first fault of each kind that is on; each puts down the next one.
  void begin();
  /// From now on none begins; what is broken is mended.
  void end();

 private:
  using Fault = void (Faults::*)();
  void plan_next(Duration mean, Fault fault);
  void break_link();
  void half_open();
  void silence();
  void slow_link();
  void kill_worker();
  void trouble_slot();
  void crash_node();
  void drain_node();
  void freeze_node();
  void join_node();
  void crash_head();
  void stop_head();
  void freeze_head();
  void crash_client();
  void freeze_client();
  void fill_store();
  void hush_store();
  void cut_store();
  void stop_head(bool in_order);
  HeadProcess& any_head();
  void freeze(Endpoint& process, Duration time);
  Duration long_or_short(Duration low, Duration high);
  Peer* any_peer();
  NodeProcess* any_node();
  Client* any_client();

  Cluster& in_;
};

}  // namespace dc::sim
