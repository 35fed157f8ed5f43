// `distributed-computing pools`: the named pools of a head, for people and for programs.
#pragma once

#include <string>
#include <vector>

#include "core/result.hpp"
#include "net/ask.hpp"

namespace dc::cli {

/// The named pools in the JSON of net::ask_status(): a JSON array of them, in the order of their names.
std::string named_pools(const std::string& status_json);
/// The same as a table.
std::string pools_table(const std::string& pools_json);
/// All that is known of one of them, a line each. `not_found`: the head has no such pool.
Result<std::string> show_pool(const std::string& pools_json, const std::string& name);

/// Writes a line to stdout for each outcome that waits for a client: number, "ok" or "error", size in bytes or message.
/// They wait on afterwards. `directory`, when not empty: values go to NUMBER.value there, as the worker made them
/// (Python: pickled; C++: MessagePack), errors to NUMBER.error. `not_found` | `unreachable` | `io`.
Result<void> write_results(const net::HeadAccess& access, const std::string& name, const std::string& directory);

/// Ends the pool for good: what runs is aborted, its jobs and outcomes are deleted. `steal`: even when a program has
/// it.
Result<void> remove_pool(const net::HeadAccess& access, const std::string& name, bool steal);

/// Has the journal of a pool cut that the head refuses because it is broken. Returns what that cost, as a sentence.
Result<std::string> repair_pool(const net::HeadAccess& access, const std::string& name);

/// Forgets the values of these keys, or where there are none of all. Returns how many had one, as a sentence.
Result<std::string> forget_keys(const net::HeadAccess& access, const std::string& name,
                                const std::vector<std::string>& keys);

}  // namespace dc::cli
