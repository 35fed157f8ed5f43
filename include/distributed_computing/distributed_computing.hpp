// The whole C++ interface.
#pragma once

#include "distributed_computing/errors.hpp"
#include "distributed_computing/pool.hpp"
#include "distributed_computing/results.hpp"
#include "distributed_computing/settings.hpp"
#include "distributed_computing/worker.hpp"
