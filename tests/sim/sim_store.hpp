// The store of simulated heads. The server outlives them: its logs, and whose they are. Each life of a head has its own
// connection to it, whose calls fail before or after they have had their effect.
//
// Where several heads share it, it is leased as redis_lease.hpp does it: its holder counts beats, a standby that sees
// none takes it (store/lease_watch.hpp), and the machine that says how long a head may believe in its lease is the
// product's (store/lease_machine.hpp).
#pragma once

#include <map>
#include <optional>
#include <set>
#include <span>
#include <string>
#include <utility>
#include <vector>

#include "plan.hpp"
#include "store/lease_machine.hpp"
#include "store/lease_watch.hpp"
#include "store/store.hpp"
#include "world.hpp"

namespace dc::sim {

class SimStore;

class SimServer {
 public:
  using Entries = std::map<store::EntryNumber, store::Entry>;
  /// Is told what stands in the logs.
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual void written(store::LogId log, const store::Entry& entry) = 0;
    virtual void removed(store::LogId log) = 0;
    /// Whoever erases entries must not change what the log means.
    virtual void erased(const Entries& before, const Entries& now) = 0;
  };
  SimServer(World& world, const Plan& plan, Reader& reader) : world_(world), plan_(plan), reader_(reader) {}

  [[nodiscard]] const std::map<store::LogId, Entries>& all() const { return logs_; }

  // What goes wrong.
  void fill(Duration time) { full_until_ = world_.now() + time; }
  void hush(Duration time) { silent_until_ = world_.now() + time; }
  void answer() { silent_until_ = {}; }
  void mend() {
    full_until_ = silent_until_ = {};
    loses_answers_ = false;
  }

 private:
  friend class SimStore;
  /// What stands there of the holder.
  struct Lease {
    std::uint64_t term = 0, beat = 0;
    std::size_t machine = 0;
    bool pausing = false, given_up = false;
    [[nodiscard]] std::string text() const { return fmt::format("{} {} {}", term, beat, pausing); }
  };
  [[nodiscard]] bool silent() const { return world_.now() < silent_until_; }
  [[nodiscard]] bool refuses() { return world_.now() < full_until_ && world_.chance.percent(80); }
  /// `unanswered`: nobody hears that it has happened.
  void write(std::span<const store::Change> changes, bool unanswered = false);
  void put(const store::Change& one, bool unanswered);
  void note_passing(const store::Change& one);
  void erase(const store::Change& one, std::map<store::LogId, Entries>& whole);

  World& world_;
  const Plan& plan_;
  Reader& reader_;
  std::map<store::LogId, Entries> logs_;
  /// Entries that stand although their writer does not know it: it puts them again, or gives them up and erases them,
  /// or they stand for good.
  using Place = std::pair<store::LogId, store::EntryNumber>;
  std::set<Place> doubtful_;
  std::vector<std::pair<store::LogId, store::Entry>> passing_;  ///< put and erased by calls without an answer
  TimePoint full_until_{}, silent_until_{};
  bool loses_answers_ = true;
  Lease lease_;
  SimStore* holder_ = nullptr;  ///< null: its process is gone
  TimePoint speaks_from_{};     ///< its holder
};

class SimStore final : public store::Store {
 public:
  /// Is told of an entry that stands although the head was told that it could not be written.
  using Haunts = std::function<void(store::LogId log, const store::Entry& entry)>;
  /// `machine`: where the head runs; each can see whether a process of its own is gone.
  SimStore(World& world, const Plan& plan, SimServer& server, std::size_t machine, Haunts haunts);
  ~SimStore() override;  ///< the process is gone

  /// The next acquire() was asked for then, and is answered now.
  void asked_at(TimePoint when) { asked_ = when; }
  /// The way to the server is cut until then.
  void cut(TimePoint until) { cut_until_ = until; }
  [[nodiscard]] bool away() const { return server_.silent() || world_.now() < cut_until_; }
  /// A promise: no head hears, decides or says anything when another may.
  void check_alone() const;

  /// Of a store that is leased: to be renewed as its machine says.
  [[nodiscard]] store::LeaseMachine& lease() { return *machine_; }
  /// What a renewal does at the server, now. None: no answer will come.
  std::optional<store::Renewal> renew();

  [[nodiscard]] std::string description() const override { return "the simulated store"; }
  Result<std::uint64_t> acquire(const store::Owner& owner) override;
  [[nodiscard]] bool may_be_gone() const override { return may_be_gone_; }
  [[nodiscard]] bool leased() const override { return plan_.standby; }
  [[nodiscard]] store::Hold hold() const override;
  Result<void> check_hold() override;
  [[nodiscard]] Duration silence_left() const override;
  void moved(store::Part part) override;
  Result<std::uint64_t> raise_term(std::uint64_t above) override;
  void release() override;
  Result<std::vector<store::LogId>> logs() override;
  Result<void> write(std::span<store::Change> changes) override;
  Result<bool> read(store::LogId log, store::Position& position, store::Attachments attachments,
                    const std::function<void(store::EntryNumber, store::Entry&&)>& each) override;
  Result<void> replace(store::LogId log, std::span<const store::Entry> entries) override;
  Result<void> remove(store::LogId log) override;

 private:
  enum class Claim { free, ran_out };
  /// The call fails. It may have had its effect all the same: then `effect` runs.
  template <class Effect>
  Result<void> unanswered(Effect effect);
  Result<Claim> may_take();
  void take(Claim claim);
  /// Whether this head has the store: whoever has not changes nothing.
  [[nodiscard]] bool has() const { return term_ != 0 && server_.lease_.term == term_; }
  /// What stands in doubt stands for good: its writer is gone.
  void settle();

  World& world_;
  const Plan& plan_;
  SimServer& server_;
  const std::size_t place_;
  const Haunts haunts_;
  std::uint64_t term_ = 0, tried_ = 0;
  std::uint64_t beat_ = 0;
  TimePoint asked_{}, cut_until_{}, speaks_from_{};
  store::LeaseWatch watch_;
  std::optional<store::LeaseMachine> machine_;
  bool may_be_gone_ = false;
};

}  // namespace dc::sim
