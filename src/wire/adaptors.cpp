// The scopes that carry payloads past msgpack's convert() and pack(), which have no room for an argument.
#include "wire/adaptors.hpp"

namespace dc::wire {

thread_local const DecodeScope* DecodeScope::current = nullptr;
thread_local const EncodeScope* EncodeScope::current = nullptr;

}  // namespace dc::wire
