// Who wants to know what the devices of this process do: profilers and tracers. A device that nobody observes tests one
// flag a command.
#pragma once

#include <array>
#include <atomic>
#include <cstdint>
#include <memory>
#include <mutex>
#include <string_view>
#include <vector>

#include "emulator/timing/account.h"
#include "runtime/command.h"
#include "runtime/timeline.h"

namespace mtia::emulator {
class LaunchTrace;
}

namespace mtia::runtime {

// What a command is called: the kernel of a launch, else what is done with the memory.
std::string_view name_of(const Command& command);

// A command that takes chip time was submitted by this thread. It may run already.
struct Submission {
  int device = 0;
  Ticket ticket = 0;
  CommandKind kind = CommandKind::empty;
  int64_t began = 0;  // host clock, nanoseconds since the epoch
  int64_t ended = 0;
};

// A command was executed, in submission order. Valid during the call.
struct Execution {
  int device = 0;
  Ticket ticket = 0;
  int stream = 0;
  Engine engine = Engine::grid;
  const Command* command = nullptr;
  std::string_view name;
  double start = 0;              // seconds of chip time
  double end = 0;                // equal to start for failures
  int64_t host_nanoseconds = 0;  // that the host took to execute it
  emulator::LaunchAccount account;
  emulator::LaunchTrace* trace = nullptr;  // what trace_of() asked for
  bool failed = false;
};

// Calls come from several threads at once: of submissions from the submitting ones, of executions from the dispatchers.
class CommandObserver {
 public:
  virtual ~CommandObserver();
  virtual void submitted(const Submission&) {}
  // Before a launch: where its instructions are to be recorded; nullptr: not wanted. Of several observers the first
  // that wants it is asked.
  virtual std::unique_ptr<emulator::LaunchTrace> trace_of(int device, const Command& command);
  virtual void executed(const Execution&) {}
};

using ObserverPointer = std::shared_ptr<CommandObserver>;

class ObserverList {
 public:
  bool empty() const { return count_.load(std::memory_order_acquire) == 0; }
  void add(ObserverPointer observer);
  void remove(const CommandObserver& observer);
  // A copy: an observer stays alive while it is told of something.
  std::vector<ObserverPointer> all() const;

 private:
  mutable std::mutex mutex_;
  std::vector<ObserverPointer> observers_;
  std::atomic<size_t> count_{0};
};

// Nanoseconds since the epoch.
int64_t host_clock();

}  // namespace mtia::runtime
