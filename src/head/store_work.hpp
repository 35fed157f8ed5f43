// What a head has done in its journal's thread beside writing entries: journals of pools are read, and repaired.
#pragma once

#include <cstdint>
#include <functional>
#include <map>
#include <memory>
#include <string>

#include "head/head_machine.hpp"
#include "head/pool_reading.hpp"
#include "net/event_loop.hpp"
#include "store/journal_thread.hpp"

namespace dc::head {

class StoreWork {
 public:
  /// All of them outlive this. What is done is told to `machine`, whose effects are appended to `effects`.
  StoreWork(store::JournalThread& journal, net::EventLoop& loop, HeadMachine& machine, Effects& effects)
      : journal_(journal), loop_(loop), machine_(machine), effects_(effects) {}

  /// In slices, between which entries are written.
  void read(const JournalRead& wanted) { read_on(std::make_shared<PoolReading>(wanted.log)); }
  void repair(const JournalRepair& wanted);
  /// False: this was an entry, and nothing of this.
  bool ended(const store::Journaled& done);

 private:
  using Work = std::function<Result<void>(store::Store&)>;
  /// Hears why it was refused; empty: it is done.
  using Then = std::function<void(const std::string& refused)>;
  void run(Work work, Then then);
  void read_on(const std::shared_ptr<PoolReading>& reading);
  void was_read(const std::shared_ptr<PoolReading>& reading, const std::string& refused);

  store::JournalThread& journal_;
  net::EventLoop& loop_;
  HeadMachine& machine_;
  Effects& effects_;
  std::map<store::Ticket, Then> under_way_;
  std::uint64_t next_ = 0;
  std::unique_ptr<net::Timer> retry_;
};

}  // namespace dc::head
