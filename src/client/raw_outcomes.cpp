// From outcomes and failures to bytes and exceptions.
#include "client/raw_outcomes.hpp"

#include "distributed_computing/errors.hpp"

namespace dc::detail {

using client::Failure;
using client::FailureKind;

template <class Error>
static std::exception_ptr exception(const ErrorInfo& info) {
  return std::make_exception_ptr(
      Error(info.message, {info.host, info.slot, info.traceback, info.type_name, info.exit_status, info.signal}));
}

std::exception_ptr exception_of(const ErrorInfo& info) {
  switch (info.kind) {
    case ErrorKind::job_error:
      return exception<JobError>(info);
    case ErrorKind::worker_died:
      return exception<WorkerDied>(info);
    case ErrorKind::job_timeout:
      return exception<JobTimeout>(info);
    case ErrorKind::worker_init_error:
      return exception<WorkerInitError>(info);
    case ErrorKind::pool_closed:
      return exception<PoolClosed>(info);
    case ErrorKind::too_large:
      return std::make_exception_ptr(PayloadTooLarge(info.message));
    case ErrorKind::serialization:
      return exception<SerializationError>(info);
    case ErrorKind::no_device:
      return exception<NoSuitableDevice>(info);
    case ErrorKind::not_stored:
      return exception<NotStored>(info);
    case ErrorKind::pool_busy:
      return exception<PoolBusy>(info);
    case ErrorKind::pool_not_found:
      return exception<PoolNotFound>(info);
    case ErrorKind::pool_deadlock:
      return exception<PoolDeadlock>(info);
  }
  return exception<JobError>(info);
}

void raise(const Failure& failure) {
  switch (failure.kind) {
    case FailureKind::unreachable:
      throw HeadUnreachable(failure.message);
    case FailureKind::authentication:
      throw AuthenticationError(failure.message);
    case FailureKind::too_large:
      throw PayloadTooLarge(failure.message);
    case FailureKind::pool_failed:
      std::rethrow_exception(exception_of(failure.info));
    case FailureKind::invalid:
      throw DistributedComputingError(failure.message);
    case FailureKind::pool_closed:
      break;
  }
  throw PoolClosed(failure.message);
}

RawOutcome raw(client::Completed&& completed) {
  const Payload payload = std::move(completed.outcome.payload);
  const auto& error = completed.outcome.error;
  return {payload.owner(), payload.data(), payload.size(), error ? exception_of(*error) : nullptr};
}

}  // namespace dc::detail
