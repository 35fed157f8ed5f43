// The options of a head about named pools: where they are kept, how safely, and how much of them.
#pragma once

#include <CLI/CLI.hpp>
#include <cstdint>
#include <string>

#include "head/head_options.hpp"

namespace dc::cli {

struct StoreArguments {
  std::string store;
  store::Durability durability = store::Durability::always;
  bool standby = false;
  head::PoolBounds bounds = head::HeadOptions{}.bounds;
  std::uint64_t key_ttl = 0;  ///< seconds
};

/// `head`: the option --head.
void declare_store(CLI::App& app, StoreArguments& arguments, CLI::Option* head);

void take_over(const StoreArguments& arguments, head::HeadOptions& options);

}  // namespace dc::cli
