// What is wrong with a command line: the words that are, and what may have been meant by them.
#pragma once

#include <string>
#include <vector>

namespace CLI {
class App;
class Error;
}  // namespace CLI

namespace dc::cli {

/// The one of these names that was most likely meant by a word; empty: none is like it.
std::string closest(const std::string& word, const std::vector<std::string>& names);

/// For CLI11's failure_message. Values, which may be secret, are not repeated.
std::string usage_problem(const CLI::App& app, const CLI::Error& error, const std::vector<std::string>& words);

/// The words of a command line behind the command.
std::vector<std::string> words_of(int argc, char** argv);

}  // namespace dc::cli
