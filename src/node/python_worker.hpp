// How a worker of a Python pool is started: nothing of the directory that the node was started in is imported by it.
#pragma once

#include <string>
#include <string_view>
#include <vector>

namespace dc::node {

/// Whoever may write there may be the node's user anyway. An interpreter looks for modules in the directory that it is
/// started in, in some versions before the first line of ours: it is started here, and goes to the node's directory
/// once that is not searched any more.
inline constexpr const char* python_start_directory = "/";

/// That of this process, or python_start_directory where it was removed.
std::string working_directory();

/// The command, to be started in python_start_directory; its working directory becomes `directory`.
std::vector<std::string> python_worker_command(const std::string& python, const std::string& directory);

/// "NAME=value" of the node's environment as workers of all kinds get it: what would let Python, or the loader of
/// libraries, search the working directory, an empty or relative entry of PYTHONPATH, LD_LIBRARY_PATH and the like, is
/// taken out. Empty: the variable is left out.
std::string without_relative_entries(std::string_view variable);

}  // namespace dc::node
