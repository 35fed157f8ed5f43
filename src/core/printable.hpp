// Texts of others, as they may stand in a log, on a terminal or in a sentence.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

#include "core/limits.hpp"

namespace dc {

/// One line of valid UTF-8 without control characters (of ASCII and of ISO 6429: a terminal obeys both), without marks
/// that change the direction of writing or break lines, and at most `bytes_max` long. What is not allowed becomes '?',
/// white space a blank, and what is cut off "…". Letters of all languages stay.
std::string printable(std::string_view text, std::size_t bytes_max = limits::shown_text_bytes_max);

/// The same of a text of several lines, of which beginning and end are kept where it is longer. Lines after the first
/// begin with blanks: none can pass for another message.
std::string printable_lines(std::string_view text, std::size_t bytes_max);

}  // namespace dc
