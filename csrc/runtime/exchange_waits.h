// What each device of this process waits for from other chips, and has: for who watches from outside.
#pragma once

#include <cstdint>
#include <string>

#include "runtime/exchange.h"

namespace mtia::runtime {

struct ExchangeWaits {
  std::string waiting_for;   // the operation that the queue stands at; empty: none
  double since_seconds = 0;  // of the host's time, that it has waited for that
  uint64_t ended = 0;        // operations
  // Of chip time, summed over operations: from this chip's arrival to that of the last one. The chip that others wait
  // for has the least.
  double chip_seconds = 0;
  double host_seconds = 0;  // of the host's time, that the queue stood
};

// From the dispatcher of a device, in this order; abandoned() instead of ended() where the exchange failed.
void exchange_began(int device, const Exchange& exchange, double chip_seconds);
void exchange_awaited(int device, const Exchange& exchange);
void exchange_ended(int device, const Exchange& exchange, const ExchangeEnd& end);
void exchange_abandoned(int device, const Exchange& exchange);

// Any thread; waits for nobody.
ExchangeWaits exchange_waits(int device);

}  // namespace mtia::runtime
