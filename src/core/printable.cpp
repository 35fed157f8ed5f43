// See printable.hpp.
#include "core/printable.hpp"

#include <algorithm>
#include <array>
#include <utility>

#include "core/text.hpp"

namespace dc {
namespace {

/// A character of UTF-8 and its length in bytes; none where the bytes are no such character.
struct Character {
  char32_t code = 0;
  std::size_t bytes = 0;
};

Character first_of(std::string_view text) {
  const auto byte = [&](std::size_t i) { return static_cast<unsigned char>(text[i]); };
  const unsigned char lead = byte(0);
  if (lead < 0x80) return {lead, 1};
  const std::size_t size = lead >= 0xf0 ? 4 : lead >= 0xe0 ? 3 : 2;
  if (lead < 0xc2 || lead > 0xf4 || text.size() < size) return {};
  char32_t code = lead & (0xff >> (size + 1));
  for (std::size_t i = 1; i < size; ++i) {
    if ((byte(i) & 0xc0) != 0x80) return {};
    code = code << 6 | (byte(i) & 0x3f);
  }
  constexpr std::array<char32_t, 5> smallest = {0, 0, 0x80, 0x800, 0x10000};
  if (code < smallest[size] || code > 0x10ffff || (code >= 0xd800 && code <= 0xdfff)) return {};
  return {code, size};
}

/// Commands to terminals, marks of direction, and what cannot be seen.
bool forbidden(char32_t code) {
  constexpr std::array<std::pair<char32_t, char32_t>, 10> ranges = {{{0x00, 0x1f},
                                                                     {0x7f, 0x9f},
                                                                     {0xad, 0xad},
                                                                     {0x61c, 0x61c},
                                                                     {0x200b, 0x200b},
                                                                     {0x200e, 0x200f},
                                                                     {0x2028, 0x202e},
                                                                     {0x2060, 0x206f},
                                                                     {0xfeff, 0xfeff},
                                                                     {0xfff9, 0xfffb}}};
  return (code >= 0xe0000 && code <= 0xe0fff) || std::any_of(ranges.begin(), ranges.end(), [&](const auto& range) {
           return code >= range.first && code <= range.second;
         });
}

bool plain(std::string_view text) {
  return std::all_of(text.begin(), text.end(), [](char c) { return c >= ' ' && c <= '~'; });
}

}  // namespace

std::string printable(std::string_view text, std::size_t bytes_max) {
  if (text.size() <= bytes_max && plain(text)) return std::string(text);
  constexpr std::string_view cut = "…";
  std::string shown;
  std::size_t before_cut = 0;  // so much of it leaves room for the sign
  while (!text.empty()) {
    const Character next = first_of(text);
    const bool space = next.code == '\n' || next.code == '\t' || next.code == '\r';
    const bool stays = next.bytes > 0 && !forbidden(next.code);
    const std::size_t size = std::max<std::size_t>(next.bytes, 1);
    if (stays) {
      shown += text.substr(0, size);
    } else {
      shown += space && next.bytes > 0 ? ' ' : '?';
    }
    if (shown.size() + cut.size() <= bytes_max) before_cut = shown.size();
    if (shown.size() > bytes_max) return shown.substr(0, before_cut) += cut;
    text.remove_prefix(size);
  }
  return shown;
}

std::string printable_lines(std::string_view text, std::size_t bytes_max) {
  const std::string kept = shortened(text, bytes_max);
  std::string_view rest = kept;
  std::string shown;
  while (true) {
    const std::size_t end = std::min(rest.find('\n'), rest.size());
    shown += printable(rest.substr(0, end), bytes_max);
    if (end == rest.size()) return shown;
    shown += "\n  ";
    rest.remove_prefix(end + 1);
  }
}

}  // namespace dc
