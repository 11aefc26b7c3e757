// A table of devices, whose rows are made when a device first exchanges something.
#include "runtime/exchange_waits.h"

#include <algorithm>
#include <chrono>
#include <map>
#include <mutex>
#include <unordered_map>

namespace mtia::runtime {
namespace {

using Clock = std::chrono::steady_clock;

struct Row {
  ExchangeWaits waits;
  Clock::time_point since;
  std::unordered_map<const Exchange*, double> arrivals;  // in chip time, of what has begun
};

struct Table {
  std::mutex mutex;
  std::map<int, Row> rows;
};

// Never destroyed: a dispatcher may still be inside of it at exit.
Table& table() {
  static auto* const instance = new Table;
  return *instance;
}

double seconds_since(Clock::time_point start) { return std::chrono::duration<double>(Clock::now() - start).count(); }

void stop_waiting(Row& row) {
  if (row.waits.waiting_for.empty()) return;
  row.waits.host_seconds += seconds_since(row.since);
  row.waits.waiting_for.clear();
}

}  // namespace

void exchange_began(int device, const Exchange& exchange, double chip_seconds) {
  const std::lock_guard lock(table().mutex);
  table().rows[device].arrivals[&exchange] = chip_seconds;
}

void exchange_awaited(int device, const Exchange& exchange) {
  const std::lock_guard lock(table().mutex);
  Row& row = table().rows[device];
  row.waits.waiting_for = exchange.name();
  row.since = Clock::now();
}

void exchange_ended(int device, const Exchange& exchange, const ExchangeEnd& end) {
  const std::lock_guard lock(table().mutex);
  Row& row = table().rows[device];
  stop_waiting(row);
  row.waits.ended += 1;
  const auto arrival = row.arrivals.extract(&exchange);
  if (!arrival.empty()) row.waits.chip_seconds += std::max(0.0, end.begin - arrival.mapped());
}

void exchange_abandoned(int device, const Exchange& exchange) {
  const std::lock_guard lock(table().mutex);
  Row& row = table().rows[device];
  stop_waiting(row);
  row.arrivals.erase(&exchange);
}

ExchangeWaits exchange_waits(int device) {
  const std::lock_guard lock(table().mutex);
  const auto found = table().rows.find(device);
  if (found == table().rows.end()) return {};
  ExchangeWaits waits = found->second.waits;
  if (!waits.waiting_for.empty()) waits.since_seconds = seconds_since(found->second.since);
  return waits;
}

}  // namespace mtia::runtime
