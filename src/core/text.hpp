// Texts of bounded length.
#pragma once

#include <cstddef>
#include <string>
#include <string_view>

namespace dc {

/// The text, at most `bytes_max` bytes of it (64 or more): beginning and end, cut between characters (UTF-8), with a
/// word between them of how much is missing. Bytes that are no UTF-8 are cut anywhere.
std::string shortened(std::string_view text, std::size_t bytes_max);

/// What the system says about the error; of limits also their name and where they are set.
std::string errno_text(int error);

}  // namespace dc
