// Texts of messages that are for people.
#pragma once

#include "wire/messages.hpp"

namespace dc::wire {

/// Makes all texts of a message printable that the receiver puts in logs, tables and notices: labels, names of hosts
/// and devices, reasons. At the door, so that nobody behind it has to think of it. Not the errors of jobs, which arrive
/// as they are, nor what workers print, nor the names of pools, which are what they are known by: whoever shows those
/// says printable() there.
void make_printable(Message& message);

}  // namespace dc::wire
