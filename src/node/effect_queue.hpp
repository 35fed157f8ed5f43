// What a node's machine wants done, until it is done.
#pragma once

#include <cstddef>
#include <utility>
#include <variant>
#include <vector>

#include "node/node_machine.hpp"

namespace dc::node {

class EffectQueue {
 public:
  /// For the machine, which adds to it.
  [[nodiscard]] Effects& back() { return effects_; }
  /// What was meant for this session must not be the first thing that the next one hears.
  void session_closed() {
    std::erase_if(effects_, [](const Effect& effect) { return std::holds_alternative<ToHead>(effect); });
  }
  /// In order. Carrying one out may cause others.
  template <class CarryOut>
  void carry_out(CarryOut carry_out) {
    for (std::size_t i = 0; i < effects_.size(); ++i) {
      Effect effect = std::move(effects_[i]);
      std::visit(carry_out, effect);
    }
    effects_.clear();
  }

 private:
  Effects effects_;
};

}  // namespace dc::node
