// See carrier.hpp.
#include "carrier.hpp"

#include <memory>
#include <string>

#include "wire/codec.hpp"
#include "wire/framing.hpp"

namespace dc::sim {
namespace {

/// A message with so many elements is looked at in every seed.
constexpr std::size_t many = 100;
/// That travel beside one message (wire/framing.cpp).
constexpr std::size_t external_payloads_max = 255;
/// What a message that is closed when it is as long as a batch can have beyond that: its last element.
constexpr std::size_t longest = limits::batch_bytes_max + limits::error_bytes_max + limits::inline_payload_max;

/// In all lists of a message that can be long.
std::size_t elements(const wire::Message& message) {
  return std::visit(
      [](const auto& body) {
        std::size_t count = 0;
        if constexpr (requires { body.items; }) count += body.items.size();
        if constexpr (requires { body.jobs.size(); }) count += body.jobs.size();
        if constexpr (requires { body.sequences; }) count += body.sequences.size();
        if constexpr (requires { body.attempts; }) count += body.attempts.size();
        if constexpr (requires { body.unstarted; }) count += body.unstarted.size();
        if constexpr (requires { body.outstanding.size(); }) count += body.outstanding.size() + body.received.size();
        if constexpr (requires { body.missing; }) count += body.missing.size() + body.earlier.size();
        if constexpr (requires { body.slots.size(); }) count += body.slots.size();
        if constexpr (requires { body.programs; }) {
          count += body.pools.size() + body.programs.size();
          for (const auto& pool : body.pools) count += pool.finished.size();
          for (const auto& worker : body.workers) count += 1 + worker.held.size();
        }
        return count;
      },
      message);
}

}  // namespace

void Carrier::carry(wire::Message& message, wire::Role peer, Side from) const {
  const wire::Ways ways = from == Side::peer ? wire::ways_from(peer) : wire::ways_to(peer);
  if ((wire::ways_of(message) & ways) == 0)
    world_.violation("{} is not what a {} says", wire::name_of(message), from == Side::head ? "head" : "peer");
  if (!all_ && elements(message) < many) return;
  const auto text = std::make_shared<std::string>();
  std::vector<Payload> external;
  wire::encode(message, *text, external);
  check_rules(message, text->size(), external);
  if (!wire::all_arrays_fit(*text)) world_.violation("{} has an array that is too long", wire::name_of(message));
  if (!all_) return;
  auto read = wire::decode(std::as_bytes(std::span(*text)), text, external);
  if (!read) world_.violation("{} cannot be read: {}", wire::name_of(message), read.error().message);
  message = std::move(read).value();
}

/// Small messages join a batch. The report of a node may be longer than one and is cut in parts. What has large
/// payloads goes into one frame without them.
void Carrier::check_rules(const wire::Message& message, std::size_t bytes, const std::vector<Payload>& external) const {
  const char* name = wire::name_of(message);
  if (external.empty() == has_large_payload(message)) world_.violation("{} travels in another way than here", name);
  const bool report = std::holds_alternative<wire::NodeState>(message);
  const std::size_t most = report ? limits::message_bytes_max : external.empty() ? longest : limits::batch_bytes_max;
  if (bytes > most) world_.violation("{} has {} bytes", name, bytes);
  if (external.size() > external_payloads_max) world_.violation("{} has {} large payloads", name, external.size());
  for (const Payload& payload : external) {
    if (payload.size() > limits::payload_bytes_max_default) world_.violation("{} has a payload too large", name);
  }
  if (const auto* run = std::get_if<wire::RunJobs>(&message); run && run->items.size() > limits::claims)
    world_.violation("a worker is handed {} jobs at once", run->items.size());
}

}  // namespace dc::sim
