// The list of a device's observers, and the names of commands.
#include "runtime/observers/command_observer.h"

#include <chrono>
#include <utility>

#include "emulator/trace.h"

namespace mtia::runtime {

std::string_view name_of(const Command& command) {
  switch (command.kind) {
    case CommandKind::launch:
      if (command.launch.kernel != nullptr) return command.launch.kernel->name;
      return command.launch.program != nullptr ? emulator::name_of(*command.launch.program) : "launch";
    case CommandKind::copy_to_device:
      return "copy_to_device";
    case CommandKind::copy_from_device:
      return "copy_from_device";
    case CommandKind::copy_on_device:
      return "copy_on_device";
    case CommandKind::stage_peer:
      return "copy_to_peer";
    case CommandKind::receive_peer:
      return "copy_from_peer";
    case CommandKind::fill:
      return "fill";
    case CommandKind::record_event:
      return "record_event";
    case CommandKind::wait_event:
      return "wait_event";
    case CommandKind::begin_exchange:
      return "begin_exchange";
    case CommandKind::end_exchange:
      return command.exchange->name();
    case CommandKind::flush_cache:
      return "flush_cache";
    case CommandKind::note_allocated:
    case CommandKind::note_freed:
    case CommandKind::host_waited:
      return "note";
    case CommandKind::set_monitor:
      return "set_monitor";
    case CommandKind::empty:
      break;
  }
  return "empty";
}

CommandObserver::~CommandObserver() = default;

std::unique_ptr<emulator::LaunchTrace> CommandObserver::trace_of(int, const Command&) { return nullptr; }

void ObserverList::add(ObserverPointer observer) {
  const std::lock_guard lock(mutex_);
  observers_.push_back(std::move(observer));
  count_.store(observers_.size(), std::memory_order_release);
}

void ObserverList::remove(const CommandObserver& observer) {
  const std::lock_guard lock(mutex_);
  std::erase_if(observers_, [&](const ObserverPointer& entry) { return entry.get() == &observer; });
  count_.store(observers_.size(), std::memory_order_release);
}

std::vector<ObserverPointer> ObserverList::all() const {
  const std::lock_guard lock(mutex_);
  return observers_;
}

int64_t host_clock() {
  const auto now = std::chrono::system_clock::now().time_since_epoch();
  return std::chrono::duration_cast<std::chrono::nanoseconds>(now).count();
}

}  // namespace mtia::runtime
