// The thread that makes the store's blocking calls, with group commit: what arrives while one write is under way
// becomes the next. The head's loop hands entries in and is woken when some are done.
#pragma once

#include <cstdint>
#include <functional>
#include <memory>
#include <string>
#include <vector>

#include "core/clock.hpp"
#include "core/limits.hpp"
#include "store/journal_machine.hpp"
#include "store/store.hpp"

namespace dc::store {

class JournalThread {
 public:
  struct Handler {
    /// Something is there for take_done(), or the state changed. Called on the thread: it must only wake the loop.
    std::function<void()> wake;
    Duration patience = limits::store_patience;  ///< shorter in tests
  };
  /// The store must be acquired.
  JournalThread(std::unique_ptr<Store> store, Handler handler);
  ~JournalThread();  ///< writes what is queued (for limits::store_close_patience at most), then releases the store
  JournalThread(const JournalThread&) = delete;
  JournalThread& operator=(const JournalThread&) = delete;

  /// Puts the entry, and erases those numbers with it. `refusable`: when the store is full, or cannot be reached for
  /// limits::store_patience, the entry is given up and its ticket comes back with the reason; it should erase nothing,
  /// for that may have happened. Any other entry waits as long as it takes. Order is kept within a log.
  void write(Ticket ticket, LogId log, EntryNumber number, Entry entry, std::vector<EntryNumber> erased,
             bool refusable);
  void remove(Ticket ticket, LogId log);
  /// Brings these payloads here (Store::load); they are not in the order of what is written. take_loaded() has them.
  void load(Ticket ticket, std::vector<Payload> payloads);
  /// Something else that is to be done with the store, in its turn. It is tried once: why it failed comes back.
  void run(Ticket ticket, std::function<Result<void>(Store&)> work);

  /// In the order of completion.
  std::vector<Journaled> take_done();
  std::vector<Loaded> take_loaded();
  /// Why entries wait now, as a sentence; empty when nothing is wrong.
  [[nodiscard]] std::string trouble() const;
  /// `lost`: another head has taken the store, and this one must stop at once. Nothing is written any more.
  [[nodiscard]] Hold hold() const;
  /// The loop moves: see Store::moved().
  void loop_moved();
  /// A peer knows a higher term than this head's, which is to be raised above that: see Store::raise_term().
  void raise_term(std::uint64_t above);
  /// What it was raised to; 0: it was not.
  [[nodiscard]] std::uint64_t raised_term() const;

 private:
  struct Impl;
  std::unique_ptr<Impl> impl_;
};

}  // namespace dc::store
