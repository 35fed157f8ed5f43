// Where the commands get their secrets from, the password and the store's URL, and how these leave no traces: no
// process title, no environment, no message shows them.
#pragma once

#include <cstdint>
#include <optional>
#include <string>
#include <vector>

#include "core/result.hpp"

namespace dc::cli {

inline constexpr const char* password_variable = "DISTRIBUTED_COMPUTING_PASSWORD";
inline constexpr const char* store_variable = "DISTRIBUTED_COMPUTING_STORE";
/// Names of files in $CREDENTIALS_DIRECTORY (systemd's LoadCredential=).
inline constexpr const char* password_credential = "distributed-computing.password";
inline constexpr const char* store_credential = "distributed-computing.store";

struct PasswordSources {
  std::optional<std::string> argument;  ///< --password, -r
  bool standard_input = false;          ///< --password-stdin: its first line
  std::optional<std::string> file;      ///< --password-file
};

/// A password, and how the head's join line may repeat it.
struct Password {
  enum class From : std::uint8_t {
    nowhere,  ///< there is none
    argument,
    file,
    elsewhere,  ///< standard input, environment, credentials, or it was asked for: who starts a node knows it
    made        ///< by the head
  };
  std::string text;
  From from = From::nowhere;
  std::string file;  ///< that holds it
};

/// The password from the first source that has one: argument, standard input, file, environment, credentials. All but
/// the environment are left alone when an earlier one has it; that is wiped in any case, so that neither a child
/// inherits the password nor /proc shows it.
Result<Password> read_password(PasswordSources& sources);

/// What a file holds, without line ends after it. Refused is one that others might read: with rights for anybody else,
/// but that a group may read a file of root's, or one below $CREDENTIALS_DIRECTORY, which is how such places give
/// secrets to a service.
Result<std::string> read_secret_file(const std::string& path, const char* what);

/// Asks on the terminal without echo. Empty when there is no terminal.
std::string ask_password();

/// For a head that was given none: the one in `file`, where an earlier start kept it; else a new one of 128 random
/// bits. It is kept in the file, born with mode 0600, unless it is `shown`.
Result<Password> made_password(const std::string& file, bool shown);

/// The option of the join line, with a space behind it; empty where start_node asks.
std::string password_option(const Password& password, bool on_terminal);

/// The URL of the store from the option, else from the environment, which is wiped in any case, else from the
/// credentials.
Result<std::string> read_store(std::string option);

/// Why guessing this password is easy, as a sentence; empty when it is not.
std::string weakness_of(const std::string& password);

/// Overwrites the text's bytes and empties it.
void wipe(std::string& text);

/// What CLI11 says of a wrong command line, without the values in it: a mistyped option may hold a password.
std::string without_values(const std::string& complaint);

/// Takes the options with secrets (a store's URL may hold one) out of the process title: `ps` shows neither them nor
/// how long they are.
void hide_secrets(int argc, char** argv);

}  // namespace dc::cli
