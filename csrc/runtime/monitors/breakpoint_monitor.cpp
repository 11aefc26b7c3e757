// A program is decoded for stepping once.
#include "runtime/monitors/breakpoint_monitor.h"

#include "runtime/device.h"

namespace mtia::runtime {

emulator::LaunchAccount BreakpointMonitor::run(Device& device, const emulator::Launch& launch) {
  emulator::Emulator& emulator = device.emulator();
  if (launch.program == nullptr || !emulator::has_place(emulator::source_of(*launch.program), place_))
    return emulator.run(launch);
  ++launches_;
  auto& observed = observed_[launch.program];
  if (!observed) observed = emulator::observed(*launch.program, breakpoint_);
  emulator::Launch stepped = launch;
  stepped.program = observed;
  return emulator.run(stepped);
}

}  // namespace mtia::runtime
