// See pool_reading.hpp.
#include "head/pool_reading.hpp"

#include <utility>

namespace dc::head {

Result<void> PoolReading::read_some(store::Store& store) {
  const Result<bool> more = read(store);
  if (!more && more.error().code != ErrorCode::protocol) return more.error();
  if (!more) problem_ = more.error().message;
  over_ = !more || !more.value();
  return boost::outcome_v2::success();
}

/// True: there is more.
Result<bool> PoolReading::read(store::Store& store) {
  const auto each = [&](store::EntryNumber number, store::Entry&& entry) {
    state_.add(number, std::move(entry));
    ++entries_;
    store.moved(store::Part::journal);
  };
  BOOST_OUTCOME_TRY(more, store.read(log_, position_, store::Attachments::refer, each));
  if (!more) {
    BOOST_OUTCOME_TRYV(load_what_is_used(store, state_));
  }
  return more;
}

}  // namespace dc::head
