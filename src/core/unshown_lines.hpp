// Lines of workers that are not shown because there are too many: counted by place, until it is time to tell.
#pragma once

#include <compare>
#include <cstdint>
#include <map>
#include <string>
#include <utility>
#include <vector>

#include "core/job.hpp"

namespace dc {

/// "… 12,345 lines were not shown (more than 200 a second)"
std::string unshown_text(std::uint64_t lines);
/// 12345 as "12,345".
std::string with_commas(std::uint64_t number);

class UnshownLines {
 public:
  struct Place {
    std::string host;
    std::uint32_t slot{};
    OutputStream stream{};
    auto operator<=>(const Place&) const = default;
  };
  void add(Place place, std::uint64_t lines) { counts_[std::move(place)] += lines; }
  [[nodiscard]] bool empty() const { return counts_.empty(); }
  /// What is to be told now.
  std::map<Place, std::uint64_t> take() { return std::exchange(counts_, {}); }

 private:
  std::map<Place, std::uint64_t> counts_;
};

}  // namespace dc
