// Identifiers. Every kind of id is a type of its own, so that `requeue(node, job)` does not compile.
#pragma once

#include <compare>
#include <cstddef>
#include <cstdint>
#include <functional>

namespace dc {

template <class Tag>
struct Id {
  std::uint64_t value{};
  auto operator<=>(const Id&) const = default;
};

using NodeId = Id<struct NodeTag>;        ///< chosen at random by the node daemon when it starts
using PoolId = Id<struct PoolTag>;        ///< chosen at random by the client, so that it survives a new head
using WorkerId = Id<struct WorkerTag>;    ///< chosen by the head: epoch in the upper half, a counter below
using SessionId = Id<struct SessionTag>;  ///< new at every connection; local to the process that counts it
using ClientId = Id<struct ClientTag>;    ///< chosen at random by the client process

/// Number of a job in its pool: 1, 2, 3, ... in order of submission, chosen by the client.
using JobSequence = std::uint64_t;
/// Number of an update in its pool: 1, 2, 3, ...; 0 means "before any update".
using UpdateNumber = std::uint64_t;

/// A job's name in the whole cluster.
struct JobId {
  PoolId pool;
  JobSequence sequence{};
  auto operator<=>(const JobId&) const = default;
};

/// Fencing token of one attempt at a job. `epoch` names the life of the head that gave it out (random and
/// non-zero), so that a token from before a restart of the head never equals a new one by chance.
/// Tokens are only ever compared for equality.
struct Token {
  std::uint32_t epoch{};
  std::uint32_t attempt{};
  auto operator<=>(const Token&) const = default;
};

}  // namespace dc

template <class Tag>
struct std::hash<dc::Id<Tag>> {
  std::size_t operator()(dc::Id<Tag> id) const noexcept { return std::hash<std::uint64_t>{}(id.value); }
};
