// Loading of payloads, which all stores have in common.
#include "store/store.hpp"

#include <algorithm>
#include <utility>

#include "core/limits.hpp"
#include "store/stored_content.hpp"

namespace dc::store {

Result<Payload> Store::load(const Payload& payload) {
  const std::string* hash = stored_hash(payload);
  if (!hash) return payload;
  const auto part = [&](const Payload& content) -> Result<Payload> {
    if (payload.offset() > content.size() || payload.size() > content.size() - payload.offset())
      return fail(ErrorCode::protocol, "a payload is larger than what is stored of it");
    return content.slice(payload.offset(), payload.size());
  };
  const auto recent =
      std::find_if(recent_.begin(), recent_.end(), [&](const Recent& known) { return known.hash == *hash; });
  if (recent != recent_.end()) return part(recent->content);
  BOOST_OUTCOME_TRY(content, fetch_content(*hash));
  // A large one is asked for alone.
  if (payload.size() <= limits::inline_payload_max && content.size() <= limits::recent_contents_bytes_max) {
    recent_bytes_ += content.size();
    recent_.push_front({*hash, content});
    for (; recent_bytes_ > limits::recent_contents_bytes_max; recent_.pop_back())
      recent_bytes_ -= recent_.back().content.size();
  }
  return part(content);
}

}  // namespace dc::store
