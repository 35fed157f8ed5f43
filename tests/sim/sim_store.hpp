// The store of a simulated head: its logs outlive the head, and calls fail before or after they have had their effect.
#pragma once

#include <map>
#include <span>
#include <string>
#include <vector>

#include "plan.hpp"
#include "store/store.hpp"
#include "world.hpp"

namespace dc::sim {

class SimStore final : public store::Store {
 public:
  /// Is told what stands in the logs.
  class Reader {
   public:
    virtual ~Reader() = default;
    virtual void written(store::LogId log, const store::Entry& entry) = 0;
    virtual void removed(store::LogId log) = 0;
    /// Whoever shortens a log must not change what it means.
    virtual void replaced(const std::vector<store::Entry>& before, const std::vector<store::Entry>& now) = 0;
    /// This stands, although the head was told that it could not be written.
    virtual void stands_after_all(store::LogId log, const store::Entry& entry) = 0;
  };
  SimStore(World& world, const Plan& plan, Reader& reader) : world_(world), plan_(plan), reader_(reader) {}

  [[nodiscard]] const std::map<store::LogId, std::vector<store::Entry>>& all() const { return logs_; }
  /// What an append that failed may have written stands, or not: nobody takes it out any more.
  void head_ended();

  // What goes wrong.
  void fill(Duration time) { full_until_ = world_.now() + time; }
  void hush(Duration time) { silent_until_ = world_.now() + time; }
  void answer() { silent_until_ = {}; }
  void mend() { full_until_ = silent_until_ = {}; }

  [[nodiscard]] std::string description() const override { return "the simulated store"; }
  Result<std::uint64_t> acquire(const store::Owner& /*nobody else wants it*/) override { return 1; }
  Result<void> check_hold() override;
  void release() override {}
  Result<std::vector<store::LogId>> logs() override;
  Result<void> append(std::span<const store::Addressed> batch) override;
  Result<bool> read(store::LogId log, store::Position& position, store::Attachments attachments,
                    const std::function<void(store::Entry&&)>& each) override;
  Result<void> replace(store::LogId log, std::span<const store::Entry> entries) override;
  Result<void> remove(store::LogId log) override;

 private:
  /// The call fails. It may have had its effect all the same: then `effect` runs.
  template <class Effect>
  Result<void> unanswered(Effect effect);
  [[nodiscard]] bool silent() const { return world_.now() < silent_until_; }
  void write(std::span<const store::Addressed> batch);

  World& world_;
  const Plan& plan_;
  Reader& reader_;
  std::map<store::LogId, std::vector<store::Entry>> logs_;
  std::vector<store::Addressed> unanswered_;  ///< perhaps it stands; the next call that succeeds takes it out
  TimePoint full_until_{}, silent_until_{};
};

}  // namespace dc::sim
