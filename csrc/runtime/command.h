// One entry of a device's work queue. Entries are preallocated and reused, so that submitting a usual command allocates
// nothing.
#pragma once

#include <array>
#include <bitset>
#include <cstddef>
#include <cstdint>
#include <memory>

#include "emulator/emulator.h"
#include "runtime/event.h"
#include "runtime/exchange.h"
#include "runtime/monitors/launch_monitor.h"
#include "runtime/timeline.h"

namespace mtia::runtime {

using StreamId = int64_t;

enum class CommandKind : uint8_t {
  empty,
  launch,            // launch
  copy_to_device,    // device_address <- bytes of host or inline_bytes
  copy_from_device,  // host <- bytes of device_address
  copy_on_device,    // device_address <- bytes of source_address
  stage_peer,        // staged <- bytes of device_address, on the source device of a peer copy
  receive_peer,      // device_address <- staged, once event is complete on the source device
  fill,              // bytes of device_address <- fill_value
  record_event,      // event->chip_seconds <- time of the stream
  wait_event,        // the stream waits for event
  begin_exchange,    // exchange
  end_exchange,      // the stream waits for exchange
  flush_cache,       // the SRAM's cache is emptied, then the stream rests
  set_monitor,       // launches run through monitor from now on
  // Of checked mode:
  note_allocated,  // bytes of device_address, rounded up to source_address of them, are a tensor's
  note_freed,      // source_address bytes of device_address are nobody's
  host_waited,     // the host has seen ticket source_address of the stream, or of all where bytes is 1
};

// Whether a command keeps the grid or a link of the chip busy.
constexpr bool is_work(CommandKind kind) { return kind != CommandKind::empty && kind < CommandKind::record_event; }

// What the host waited for before it submitted a command: the end of streams, and chip times of events.
struct HostWaits {
  std::bitset<stream_count> streams;
  double seconds = 0;
};

struct Command {
  static constexpr size_t inline_capacity = 64;

  CommandKind kind = CommandKind::empty;
  uint8_t fill_value = 0;
  bool moves = false;         // in checked mode: a copy to the host that does not use what it copies
  bool is_inline = false;     // the source of copy_to_device is inline_bytes
  bool decides = false;       // timing mode keeps what copy_to_device brings, whatever its size
  bool follows_wait = false;  // host_waits is set
  bool is_observed = false;   // somebody observed the device when this was submitted
  int32_t stream = 0;
  uint64_t device_address = 0;
  uint64_t source_address = 0;
  uint64_t bytes = 0;
  double rest_seconds = 0;
  uint32_t location = 0;  // in checked mode: the line that submitted it (emulator/checks/locations.h)
  HostWaits host_waits;
  void* host = nullptr;
  std::array<std::byte, inline_capacity> inline_bytes{};
  std::shared_ptr<std::byte[]> staged;
  std::shared_ptr<bool> staged_known;  // whether staged holds the values; the source device says so
  std::shared_ptr<const void> owner;   // keeps `host` alive
  EventRecordPointer event;
  ExchangePointer exchange;
  std::shared_ptr<LaunchMonitor> monitor;
  emulator::Launch launch;
};

}  // namespace mtia::runtime
