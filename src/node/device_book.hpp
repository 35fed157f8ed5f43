// What the node knows of its GPUs, and what follows for its slots: who holds a card, whose memory is not yet back, what
// is lost or set aside. Pure: looks at the devices come in, with their time.
#pragma once

#include <sys/types.h>

#include <cstdint>
#include <map>
#include <set>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/job.hpp"
#include "gpu/device.hpp"

namespace dc::node {

class DeviceBook {
 public:
  using Uuids = std::vector<std::string>;

  DeviceBook() = default;
  /// The devices that the node uses, as they were at the first look: no worker of ours was there.
  explicit DeviceBook(const std::vector<gpu::Device>& devices);

  // Workers. `group` is the process group of one, `devices` are those that it has; others than ours are ignored.
  void worker_started(const Uuids& devices, pid_t group);
  /// Its memory is awaited from now on. `at`: when it ended; only a look from then on tells.
  void worker_ended(const Uuids& devices, pid_t group, TimePoint at);
  void constructed(const Uuids& devices, PoolId pool);
  void constructor_failed(const Uuids& devices, PoolId pool);
  void pool_closed(PoolId pool);

  /// One look. Returns the devices that it shows to be lost, and that were not before.
  Uuids seen(const gpu::Inventory& inventory, TimePoint now);
  /// The time that waiting for memory may take passes.
  void tick(TimePoint now);

  /// No worker may start there, whether it has been said or not.
  [[nodiscard]] bool blocked(const Uuids& devices, TimePoint now) const;
  /// Why, for people; empty too while it is only a moment's matter.
  [[nodiscard]] std::string trouble(const std::string& device, TimePoint now) const;
  /// Another look will tell something that is waited for.
  [[nodiscard]] bool awaits_a_look() const;
  /// Brings `slots` up to date and returns those that are worth telling the head. Small changes are told now and then
  /// only: `wake` is when.
  std::vector<SlotInfo> changes(std::vector<SlotInfo>& slots, TimePoint now, TimePoint& wake);

  /// "NVIDIA A100 (GPU-…), 40000 of 40960 MiB free, 41 °C": for the log. Empty for a device that is not ours.
  [[nodiscard]] std::string state_of(const std::string& device) const;
  /// What is known of the end of a worker: what it held at the last look at it, and what the driver reported.
  [[nodiscard]] std::string scene_of_death(const Uuids& devices, pid_t group) const;

 private:
  /// A worker of ours on a card.
  struct Tenant {
    std::uint64_t held_mib = 0;  ///< as of the last look that showed it
    std::string faults_before;
  };
  struct Card {
    gpu::Device device;  ///< as seen last
    TimePoint seen_at{};
    int missed = 0;                                           ///< looks in a row that did not show it
    std::string lost;                                         ///< why; empty: it is well
    std::uint64_t idle_free_mib = 0, idle_strangers_mib = 0;  ///< when none of our workers was there
    std::map<pid_t, Tenant> tenants;
    std::map<pid_t, TimePoint> ended;  ///< tenants whose memory is awaited, and when they ended
    TimePoint awaited_since = never;
    std::map<PoolId, int> failures;  ///< of constructors, since the last one that worked here
    int proven_failures = 0;         ///< those of closed pools that worked on other cards
    int proven_pools = 0;
    std::string set_aside;
    TimePoint told_at{};
  };
  Card* find(const std::string& uuid);
  [[nodiscard]] const Card* find(const std::string& uuid) const;
  static std::uint64_t listed_strangers(const Card& card);
  static std::uint64_t held_by_strangers(const Card& card);
  static std::uint64_t free_when_idle(const Card& card);
  static std::uint64_t not_yet_back(const Card& card);
  static std::string who_holds(const Card& card);
  static void settle(Card& card, bool patience_is_over);
  void judge(Card& card);
  [[nodiscard]] bool built_elsewhere(PoolId pool, const std::string& uuid) const;

  std::map<std::string, Card> cards_;
  std::map<PoolId, std::set<std::string>> built_;  ///< where the classes of open pools were constructed
};

}  // namespace dc::node
