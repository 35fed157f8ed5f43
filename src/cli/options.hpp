// What both commands share: password sources, exit codes, where things are.
#pragma once

#include <sys/types.h>

#include <optional>
#include <string>

#include "core/result.hpp"

namespace dc::cli {

inline constexpr const char* password_variable = "DISTRIBUTED_COMPUTING_PASSWORD";

struct PasswordSources {
  std::optional<std::string> argument;  ///< --password, -r
  std::string file;                     ///< --password-file
};

/// The password from the first source that has one: argument, file, environment variable. Empty when none has. The file
/// must not be readable by others. Wipes the variable from the environment, so that neither a child inherits it nor
/// /proc shows it.
Result<std::string> read_password(const PasswordSources& sources);

/// Asks on the terminal without echo. Empty when there is no terminal.
std::string ask_password();

/// 128 random bits in hexadecimal.
std::string make_password();

/// Why guessing this password is easy, as a sentence; empty when it is not.
std::string weakness_of(const std::string& password);

/// Overwrites the text's bytes and empties it.
void wipe(std::string& text);

/// For CLI11: what is wrong with a --fingerprint (one or several), or an empty string.
std::string fingerprint_check(const std::string& text);
/// The same for --address.
std::string address_check(const std::string& text);

/// Overwrites the passwords (a store's URL may hold one) in the process title, so that `ps` does not show them.
void hide_password(int argc, char** argv);

/// The interpreter for Python workers: beside this executable, else python3 on PATH, else empty.
std::string find_python();

/// Cores that this process may use.
unsigned usable_cores();

/// The text as one word for a shell: in quotes where it needs them.
std::string shell_word(const std::string& text);

/// The "pid" in the JSON of a lock file; 0 when there is none.
pid_t owner_pid(const std::string& json);

}  // namespace dc::cli
