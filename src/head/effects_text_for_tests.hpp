// For the tests: effects as lines of text, so that a test can compare all of them at once.
#pragma once

#include <fmt/format.h>

#include <nlohmann/json.hpp>
#include <string>
#include <vector>

#include "head/head_machine.hpp"
#include "wire/framing.hpp"

namespace dc::head {

/// Bytes in angle brackets, large ones by their size.
inline std::string text_of(const nlohmann::json& value) {
  if (value.is_binary()) {
    const auto& bytes = value.get_binary();
    if (bytes.has_subtype()) return "<beside>";
    if (bytes.size() > 32) return fmt::format("<{} bytes>", bytes.size());
    return "<" + std::string(bytes.begin(), bytes.end()) + ">";
  }
  if (!value.is_array()) return value.dump();
  std::string text = "[";
  for (const auto& item : value) text += (text.size() > 1 ? " " : "") + text_of(item);
  return text + "]";
}

/// "Name [field field ...]" with the fields as they travel.
inline std::string text_of(const wire::Message& message) {
  std::string encoded;
  std::vector<Payload> external;
  wire::encode(message, encoded, external);
  return fmt::format("{} {}", wire::name_of(message), text_of(nlohmann::json::from_msgpack(encoded).at(1)));
}

/// "journal a 7 refusable: [...]" with pool, ticket and entry; "3: Name [...]", "3: Name [...] in lane 9", "3: closed
/// (why)", "log: text"; 3 is the session.
inline std::string text_of(const Effect& effect) {
  if (const auto* send = std::get_if<Send>(&effect)) {
    const std::string lane = send->lane == wire::control_lane ? "" : fmt::format(" in lane {:x}", send->lane);
    return fmt::format("{}: {}{}", send->session.value, text_of(send->message), lane);
  }
  if (const auto* close = std::get_if<CloseSession>(&effect))
    return fmt::format("{}: closed ({})", close->session.value, close->reason);
  if (const auto* append = std::get_if<JournalWrite>(&effect)) {
    return fmt::format("journal {:x} {}{}: {}", append->log, append->ticket, append->refusable ? " refusable" : "",
                       text_of(nlohmann::json::from_msgpack(append->entry.bytes)));
  }
  if (const auto* remove = std::get_if<JournalRemove>(&effect))
    return fmt::format("journal {:x} {}: removed", remove->log, remove->ticket);
  if (const auto* program = std::get_if<HashProgram>(&effect))
    return fmt::format("hash {} of {}", program->hash, program->session.value);
  if (const auto* read = std::get_if<JournalRead>(&effect)) return fmt::format("journal {:x}: read", read->log);
  if (const auto* repair = std::get_if<JournalRepair>(&effect))
    return fmt::format("journal {:x}: repaired for {}", repair->log, repair->session.value);
  return "log: " + std::get<Log>(effect).text;
}

inline std::vector<std::string> text_of(const Effects& effects) {
  std::vector<std::string> lines;
  for (const Effect& effect : effects) lines.push_back(text_of(effect));
  return lines;
}

}  // namespace dc::head
