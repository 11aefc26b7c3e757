// A calendar a device, made when it is first asked for.
#include "runtime/link_calendars.h"

#include <map>
#include <mutex>

#include "runtime/device.h"

namespace mtia::runtime {

network::LinkCalendar& links_of(const Device& device) {
  // Never destroyed: dispatchers of a process that exits may still ask.
  static auto& calendars = *new std::map<int, network::LinkCalendar>;
  static std::mutex mutex;
  const std::lock_guard lock(mutex);
  return calendars[device.index()];
}

}  // namespace mtia::runtime
