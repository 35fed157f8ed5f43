// What both commands share: checks of options, where things are.
#pragma once

#include <sys/types.h>

#include <string>

#include "core/result.hpp"

namespace dc::cli {

/// For CLI11: what is wrong with a --fingerprint (one or several), or an empty string.
std::string fingerprint_check(const std::string& text);
/// The same for --address.
std::string address_check(const std::string& text);
/// The same for a key of jobs.
std::string key_check(const std::string& key);

/// The interpreter for Python workers: beside this executable, else python3 on PATH, else empty.
std::string find_python();
/// What --python names as an absolute path: a file, or a command on PATH. Not given: find_python().
std::string python_of(const std::string& given);

/// Cores that this process may use.
unsigned usable_cores();

/// The text as one word for a shell: in quotes where it needs them.
std::string shell_word(const std::string& text);

/// The "pid" in the JSON of a lock file; 0 when there is none.
pid_t owner_pid(const std::string& json);

}  // namespace dc::cli
