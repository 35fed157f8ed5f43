// Where state, sockets and caches live: XDG directories, all movable by one environment variable, so that many
// clusters can share a machine.
#pragma once

#include <cstdint>
#include <string>

namespace dc::paths {

// With DISTRIBUTED_COMPUTING_HOME set: $HOME_VAR/{run,state,cache}. Otherwise:
//   run:   $XDG_RUNTIME_DIR/distributed-computing where that variable names a directory of this user, else
//          /tmp/distributed-computing-<uid>; else, where somebody else has that, a directory below `state`
//   state: $XDG_STATE_HOME/distributed-computing, else ~/.local/state/distributed-computing
//   cache: $XDG_CACHE_HOME/distributed-computing, else ~/.cache/distributed-computing

/// Sockets, locks and pid files. Nothing here outlives the processes.
std::string run_dir();
std::string state_dir();
std::string cache_dir();

/// Names this machine since it was started; in a container, that container. For what stands in a directory that
/// machines share.
std::string machine_key();

/// Creates the directory and its parents with mode 0700; an existing run directory of ours gets that mode. Returns a
/// sentence about what is wrong (not writable, disk full, owned by someone else), or an empty string.
std::string make_private_dir(const std::string& dir);

/// The first executable of this name in the folders of PATH, relative ones left out; empty when there is none.
std::string on_path(const std::string& program);

/// Unix socket of the head on this machine that serves `port`.
std::string head_socket(std::uint16_t port);
/// JSON file beside it: {"pid", "port", "address"}; exists while a head runs. Its flock is held by the head.
std::string head_file(std::uint16_t port);
/// JSON file of the node of this machine that has this name (empty: the one without): {"pid", "address", "port",
/// "name"}; its flock is held by the node.
std::string node_file(const std::string& name);
/// The same in the state directory, which no cleaner empties at the end of a login.
std::string node_lock(const std::string& name);

/// The key of the heads of this user on this machine (PEM), kept over restarts.
std::string head_key();
/// Where the head that serves `port` keeps named pools, unless it is told otherwise: a SQLite file.
std::string head_store(std::uint16_t port);
/// Data, socket and secret of the Redis that start_redis() keeps on `port` of this machine.
std::string redis_dir(std::uint16_t port);
/// The same of the Redis that start_server() and start_head_node() start for the head that serves `port`.
std::string head_redis_dir(std::uint16_t port);
/// The password that was made for the head that serves `port`, where no terminal could show it.
std::string head_password(std::uint16_t port);
/// The keys of heads that were joined from here before, a line each.
std::string known_heads();

}  // namespace dc::paths
