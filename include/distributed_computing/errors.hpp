// Everything that can go wrong, as exceptions. Each message says what was wrong, where, and what to do.
#pragma once

#include <cstdint>
#include <stdexcept>
#include <string>
#include <utility>

namespace dc {

/// Base of all exceptions of this library.
class DistributedComputingError : public std::runtime_error {
 public:
  using std::runtime_error::runtime_error;
};

/// Where an error happened and what is known of it.
struct ErrorDetails {
  std::string host;               ///< name of the machine
  std::uint32_t slot = 0;         ///< slot on it
  std::string traceback;          ///< remote traceback, or the last lines that the worker printed
  std::string type_name;          ///< type of the remote exception
  std::int32_t exit_status = -1;  ///< of the worker process; -1: none
  std::int32_t signal = 0;        ///< that ended the worker process; 0: none
};

class RemoteError : public DistributedComputingError {
 public:
  explicit RemoteError(const std::string& message, ErrorDetails details = {})
      : DistributedComputingError(message), details_(std::move(details)) {}
  [[nodiscard]] const ErrorDetails& details() const { return details_; }

 private:
  ErrorDetails details_;
};

/// run threw; what() is the remote message.
class JobError : public RemoteError {
  using RemoteError::RemoteError;
};
/// Arguments or result do not fit what the other side expects.
class SerializationError : public JobError {
  using JobError::JobError;
};
/// The worker process ended while it ran the job, as often as max_retries allows.
class WorkerDied : public RemoteError {
  using RemoteError::RemoteError;
};
/// The job ran longer than job_timeout, as often as max_retries allows.
class JobTimeout : public RemoteError {
  using RemoteError::RemoteError;
};
/// The class could not be constructed on any slot.
class WorkerInitError : public RemoteError {
  using RemoteError::RemoteError;
};
/// No device of the cluster can ever meet the pool's requirements; what() lists the devices.
class NoSuitableDevice : public RemoteError {
  using RemoteError::RemoteError;
};
/// The head could not keep a job or an update of a named pool: its store is full, does not answer, or has lost it.
class NotStored : public RemoteError {
  using RemoteError::RemoteError;
};
/// Another program has the named pool and is connected; what() says which. It can be taken over with `steal`.
class PoolBusy : public RemoteError {
  using RemoteError::RemoteError;
};
/// The head has no pool of this name.
class PoolNotFound : public RemoteError {
  using RemoteError::RemoteError;
};
/// The pool was opened by a job, and all slots that could serve it are held by jobs that wait for pools of their own:
/// of those pools this is the youngest. Have fewer such jobs at a time than there are slots, or more slots.
class PoolDeadlock : public RemoteError {
  using RemoteError::RemoteError;
};
/// The pool is closed.
class PoolClosed : public RemoteError {
  using RemoteError::RemoteError;
};
/// A payload over the head's limit.
class PayloadTooLarge : public DistributedComputingError {
  using DistributedComputingError::DistributedComputingError;
};
/// No head answers at the address.
class HeadUnreachable : public DistributedComputingError {
  using DistributedComputingError::DistributedComputingError;
};
/// The head refused the password or the version.
class AuthenticationError : public DistributedComputingError {
  using DistributedComputingError::DistributedComputingError;
};
/// Something did not happen within the time that was given.
class TimeoutError : public DistributedComputingError {
  using DistributedComputingError::DistributedComputingError;
};

}  // namespace dc
