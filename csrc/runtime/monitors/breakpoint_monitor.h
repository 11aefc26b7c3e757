// Launches of kernels that have a breakpoint run one instruction at a time; others as usual.
#pragma once

#include <atomic>
#include <functional>
#include <map>
#include <memory>
#include <utility>

#include "emulator/inspection/breakpoint.h"
#include "runtime/monitors/launch_monitor.h"

namespace mtia::runtime {

class BreakpointMonitor : public LaunchMonitor {
 public:
  BreakpointMonitor(emulator::BreakpointPlace place, std::function<emulator::Resume(const emulator::Stop&)> stopped)
      : place_(place), breakpoint_(std::make_shared<emulator::Breakpoint>(std::move(place), std::move(stopped))) {}

  emulator::LaunchAccount run(Device& device, const emulator::Launch& launch) override;

  // Launches that could have stopped.
  uint64_t launches() const { return launches_; }

 private:
  emulator::BreakpointPlace place_;
  std::shared_ptr<emulator::Breakpoint> breakpoint_;
  std::map<std::shared_ptr<const emulator::LoadedProgram>, std::shared_ptr<const emulator::LoadedProgram>> observed_;
  std::atomic<uint64_t> launches_{0};
};

}  // namespace mtia::runtime
