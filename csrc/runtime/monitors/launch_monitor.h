// Runs a device's launches in its own way: with checks before and after, again, or one instruction at a time.
#pragma once

#include "emulator/emulator.h"

namespace mtia::runtime {

class Device;

class LaunchMonitor {
 public:
  virtual ~LaunchMonitor() = default;
  // In place of emulator.run(launch), on the dispatcher's thread.
  virtual emulator::LaunchAccount run(Device& device, const emulator::Launch& launch) = 0;
};

// While a device has a monitor, every launch is waited for where it is submitted, so that a failure is thrown there.
// The waiting thread may hold a lock that the monitor wants (Python's): whoever owns that lock installs a function that
// calls wait(context) without it.
using LockFreeWait = void (*)(void (*wait)(void* context), void* context);
void set_lock_free_wait(LockFreeWait function);

}  // namespace mtia::runtime
