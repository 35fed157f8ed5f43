// What a head does about a store that it cannot have: wait until the head that has it is gone, as a standby does, or
// give up. A pure decision; take_store.cpp asks the store, and waits.
#pragma once

#include <string>
#include <string_view>

#include "core/result.hpp"

namespace dc::head {

class CandidateMachine {
 public:
  enum class Next {
    give_up,     ///< with that error
    look_again,  ///< after limits::standby_look_interval
  };
  explicit CandidateMachine(bool standby) : standby_(standby) {}

  /// The store could not be taken. `may_be_gone`: nobody has seen yet that its holder lives.
  Next refused(const Error& why, bool may_be_gone);
  /// It is taken.
  void taken(std::string_view store);
  /// What the log should say; empty: nothing. Why the store cannot be had: once, and again when the reason changes.
  std::string take_note() { return std::exchange(note_, {}); }

 private:
  const bool standby_;
  std::string told_, note_;
};

}  // namespace dc::head
