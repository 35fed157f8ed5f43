// See text.hpp.
#include "text.hpp"

#include <charconv>
#include <cstdlib>

#include "head/effects_text_for_tests.hpp"

namespace dc::sim {

void note_message(World& world, std::string_view from, std::string_view to, const wire::Message& message) {
  world.mix(message.index());
  if (world.tracing()) world.print(fmt::format("{} > {}", from, to), head::text_of(message));
}

std::string label_of(PoolId pool, std::size_t plan) { return fmt::format("{}:{}", pool.value, plan); }

std::pair<PoolId, std::size_t> pool_of_label(const std::string& label) {
  char* end = nullptr;
  const PoolId pool{std::strtoull(label.c_str(), &end, 10)};
  return {pool, std::strtoull(end + 1, nullptr, 10)};
}

std::size_t job_in(std::string_view arguments) {
  std::size_t job = 0;
  std::from_chars(arguments.data(), arguments.data() + arguments.size(), job);
  return job;
}

}  // namespace dc::sim
