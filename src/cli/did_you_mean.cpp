// See did_you_mean.hpp.
#include "cli/did_you_mean.hpp"

#include <fmt/format.h>

#include <CLI/CLI.hpp>
#include <algorithm>
#include <cstddef>

#include "cli/secrets.hpp"

namespace dc::cli {
namespace {

constexpr std::size_t shown_max = 60;  ///< characters of a wrong word

/// Letters to insert, remove, change or swap with their neighbour.
std::size_t distance(const std::string& a, const std::string& b) {
  std::vector<std::vector<std::size_t>> table(a.size() + 1, std::vector<std::size_t>(b.size() + 1));
  for (std::size_t i = 0; i <= a.size(); ++i) {
    for (std::size_t j = 0; j <= b.size(); ++j) {
      std::size_t& best = table[i][j];
      if (i == 0 || j == 0) {
        best = i + j;
        continue;
      }
      best = std::min({table[i - 1][j] + 1, table[i][j - 1] + 1, table[i - 1][j - 1] + (a[i - 1] != b[j - 1])});
      const bool swapped = i > 1 && j > 1 && a[i - 1] == b[j - 2] && a[i - 2] == b[j - 1];
      if (swapped) best = std::min(best, table[i - 2][j - 2] + 1);
    }
  }
  return table[a.size()][b.size()];
}

std::string name_in(const std::string& word) { return word.substr(0, word.find('=')).substr(0, shown_max); }

bool is_option(const std::string& word) { return word.size() > 1 && word.front() == '-'; }

/// The deepest of the commands that the line names, and the word that should have been the next one, if that is wrong.
struct Named {
  const CLI::App* app;
  std::string wrong;
};

Named named_command(const CLI::App& app, const std::vector<std::string>& words) {
  Named named{&app, {}};
  for (const std::string& word : words) {
    const auto below = named.app->get_subcommands([](const CLI::App*) { return true; });
    if (below.empty() || is_option(word)) break;
    const auto found =
        std::find_if(below.begin(), below.end(), [&](const CLI::App* one) { return one->get_name() == word; });
    if (found == below.end()) {
      named.wrong = word.substr(0, shown_max);
      break;
    }
    named.app = *found;
  }
  return named;
}

std::vector<std::string> commands_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::App* one : app.get_subcommands([](const CLI::App*) { return true; }))
    names.push_back(one->get_name());
  return names;
}

std::vector<std::string> options_of(const CLI::App& app) {
  std::vector<std::string> names;
  for (const CLI::Option* option : app.get_options()) {
    for (const std::string& name : option->get_lnames()) names.push_back("--" + name);
  }
  return names;
}

/// The command that was found, wherever it stood.
const CLI::App& parsed_command(const CLI::App& app) {
  const CLI::App* deepest = &app;
  for (auto below = deepest->get_subcommands(); !below.empty(); below = deepest->get_subcommands())
    deepest = below.front();
  return *deepest;
}

std::string unknown_option(const std::string& word, const CLI::App& app, const CLI::App& parsed) {
  const std::string name = name_in(word);
  if (&parsed != &app && parsed.get_option_no_throw(name) != nullptr)
    return fmt::format("option {} belongs behind the command: {} {}", name, parsed.get_name(), name);
  const std::vector<std::string> names = options_of(app);
  const std::string letters =
      name.substr(name.find_first_not_of('-') == std::string::npos ? 0 : name.find_first_not_of('-'));
  std::string shown = name.starts_with("--") || name.size() <= 2 ? name : "-" + letters;
  const std::string meant = letters.size() < 2 ? "" : closest("--" + letters, names);
  return "there is no option " + shown + (meant.empty() ? "" : ": did you mean " + meant + "?");
}

std::string problem_of(const CLI::App& app, const CLI::Error& error, const std::vector<std::string>& words) {
  const Named named = named_command(app, words);
  const std::vector<std::string> commands = commands_of(*named.app);
  if (!named.wrong.empty()) {
    const std::string meant = closest(named.wrong, commands);
    return fmt::format("there is no command '{}': {}", named.wrong,
                       meant.empty() ? fmt::format("there are {}", fmt::join(commands, ", "))
                                     : fmt::format("did you mean '{}'?", meant));
  }
  std::string problems;
  std::size_t stray = 0;
  std::vector<std::string> left = app.remaining(true);
  // In the order of the command line.
  std::stable_sort(left.begin(), left.end(), [&](const std::string& a, const std::string& b) {
    return std::find(words.begin(), words.end(), a) < std::find(words.begin(), words.end(), b);
  });
  for (const std::string& word : left) {
    if (!is_option(word)) {
      if (stray == 0) stray = static_cast<std::size_t>(std::find(words.begin(), words.end(), word) - words.begin()) + 1;
      continue;
    }
    problems += (problems.empty() ? "" : "\n") + unknown_option(word, *named.app, parsed_command(app));
  }
  if (problems.empty() && stray == 0 && !commands.empty() && error.get_name() == "RequiredError")
    return fmt::format("A subcommand is required: there are {}", fmt::join(commands, ", "));
  if (!problems.empty() || stray == 0) return problems;
  return fmt::format("word {} behind the command belongs to no option", stray);
}

}  // namespace

std::string closest(const std::string& word, const std::vector<std::string>& names) {
  std::string best;
  std::size_t best_distance = std::max<std::size_t>(1, word.size() / 3);
  for (const std::string& name : names) {
    const bool begins = word.size() > 3 && name.starts_with(word);
    const std::size_t letters = begins ? 1 : distance(word, name);
    if (letters > best_distance || (letters == best_distance && !best.empty())) continue;
    best = name;
    best_distance = letters;
  }
  return best;
}

std::string usage_problem(const CLI::App& app, const CLI::Error& error, const std::vector<std::string>& words) {
  const std::string problem = problem_of(app, error, words);
  if (problem.empty()) return without_values(CLI::FailureMessage::simple(&app, error));
  return problem + "\nRun with --help for more information.\n";
}

std::vector<std::string> words_of(int argc, char** argv) {
  return argc > 1 ? std::vector<std::string>(argv + 1, argv + argc) : std::vector<std::string>{};
}

}  // namespace dc::cli
