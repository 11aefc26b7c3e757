// What the emulator tells monitors while a launch runs.
#pragma once

#include "emulator/emulator.h"

namespace mtia::runtime {

// Sets an emulator's journal and observer of C++ kernels' calls, and takes them away on every way out.
class LaunchWatch {
 public:
  LaunchWatch(emulator::Emulator& emulator, emulator::MemoryJournal* journal, emulator::CallObserver* calls = nullptr)
      : emulator_(emulator) {
    emulator_.set_journal(journal);
    emulator_.set_call_observer(calls);
  }
  ~LaunchWatch() {
    emulator_.set_journal(nullptr);
    emulator_.set_call_observer(nullptr);
  }
  LaunchWatch(const LaunchWatch&) = delete;
  LaunchWatch& operator=(const LaunchWatch&) = delete;

 private:
  emulator::Emulator& emulator_;
};

}  // namespace mtia::runtime
