// Any bytes as the frames of a session: no more memory is taken than allowed.
#include "input.hpp"
#include "wire/framing.hpp"

using namespace dc;

namespace {

constexpr std::uint64_t payload_max = 1 << 20, assembly_max = 2 << 20;

/// Writable memory that counts itself while it lives.
Result<wire::Assembly> counted(std::uint64_t bytes, std::uint64_t& living) {
  if (bytes > payload_max) fuzz::broken("a payload over the limit is allocated");
  if ((living += bytes) > assembly_max) fuzz::broken("more is allocated at once than may be");
  const std::shared_ptr<std::byte[]> memory(new std::byte[bytes], [bytes, &living](const std::byte* all) {
    living -= bytes;
    delete[] all;
  });
  const std::span<std::byte> span(memory.get(), bytes);
  return wire::Assembly{span, Payload(memory, span)};
}

}  // namespace

extern "C" int LLVMFuzzerTestOneInput(const std::uint8_t* data, std::size_t size) {
  std::uint64_t living = 0;
  wire::FrameReader::Options options;
  options.payload_bytes_max = payload_max;
  options.assembly_bytes_max = assembly_max;
  options.streams_max = 8;
  options.message_bytes_max = payload_max;
  options.allocate = [&living](std::uint64_t bytes) { return counted(bytes, living); };
  wire::FrameReader reader(options);
  fuzz::Input input(data, size);
  while (!input.empty()) {
    const fuzz::Owned frame(input.piece());
    std::vector<wire::Message> messages;
    if (!reader.read(frame.bytes(), frame.memory, messages)) break;
  }
  return 0;
}
