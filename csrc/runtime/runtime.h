// The devices of this process: how many, of which chip, made when first used, and what becomes of them at fork and
// exit.
#pragma once

#include <string>
#include <string_view>
#include <utility>

#include "runtime/device.h"

namespace mtia::runtime {

// The chip and number of devices. Called once before the first device is made, later only with the same chip (throws
// InvalidArgument).
void configure(const ChipSpec& chip, int devices);
bool is_configured();

// MTIA_SIM_DEVICE_COUNT, default 2. Throws InvalidArgument for what is not a number in 1..64.
int device_count_from_environment();

// MTIA_SIM_LOOP_LIMIT, default emulator::default_loop_limit: loop iterations of one program before it is taken to
// hang. Throws InvalidArgument for what is not a positive number.
uint64_t loop_limit_from_environment();

// Mode of a device that is made later, of all of them where index is -1. Throws InvalidArgument where one is made
// already and has another. MTIA_SIM_MODE is what it is otherwise.
void set_mode(Mode mode, int index);
Mode mode_of(int index);
// "functional" or "timing"; throws InvalidArgument for others.
Mode mode_named(std::string_view name);

// MTIA_SIM_TIMING_KEPT_BYTES, default 4 MiB: how large values may be that timing mode computes and keeps. Throws
// InvalidArgument for what is not a number.
uint64_t kept_bytes_from_environment();

int device_count();
const ChipSpec& chip();

// Makes the device on first use. Throws InvalidArgument for an index that does not exist, and in a forked child (see
// is_in_bad_fork).
Device& device(int index);
// The device if it was made already, else nullptr. Never throws.
Device* device_if_made(int index) noexcept;

// Observes every device, those that are made later too. What was submitted before is not reported.
void add_observer(ObserverPointer observer);
// Waits for what was submitted (release the GIL before), so that all of it was reported. Never throws a deferred
// failure.
void remove_observer(const CommandObserver& observer);

// Asynchronous: failures are thrown by the next synchronising call on the device.
inline Ticket launch(int device_index, StreamId stream, emulator::Launch&& launch) {
  return device(device_index).launch(stream, std::move(launch));
}

// True in a child forked after a device was made: threads and device memory stay with the parent.
bool is_in_bad_fork() noexcept;

// Stops all dispatchers, each after the command that runs now. Devices keep existing: later submissions are dropped.
// Returns the message of a failure nobody waited for, or an empty string.
std::string shutdown();
bool is_shut_down() noexcept;

}  // namespace mtia::runtime
