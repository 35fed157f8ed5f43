// Any bytes as one message. What can be read can be written, and reads as the same message again.
#include "input.hpp"
#include "wire/framing.hpp"

using namespace dc;

namespace {

std::string written(const wire::Message& message, std::vector<Payload>& external) {
  std::string text;
  wire::encode(message, text, external);
  return text;
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  const fuzz::Owned input({reinterpret_cast<const char*>(data), size});
  const std::vector<Payload> beside(2, Payload(std::string(limits::inline_payload_max + 1, 'x')));
  const auto message = wire::decode(input.bytes(), input.memory, beside);
  if (!message) return 0;
  if (!*wire::name_of(message.value())) fuzz::broken("every message has a name");
  std::vector<Payload> external, external_again;
  const std::string text = written(message.value(), external);
  const fuzz::Owned copy(text);
  const auto again = wire::decode(copy.bytes(), copy.memory, external);
  if (!again) fuzz::broken("what was written cannot be read: " + again.error().message);
  if (written(again.value(), external_again) != text || external_again != external)
    fuzz::broken("a message changes when it is written and read");
  return 0;
}
