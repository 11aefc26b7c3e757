// One look-up by name a command.
#include "runtime/observers/kernel_totals.h"

namespace mtia::runtime {

void KernelTotals::executed(const Execution& execution) {
  if (execution.device != device_ || execution.failed) return;
  const std::lock_guard lock(mutex_);
  auto found = totals_.find(execution.name);
  if (found == totals_.end()) found = totals_.emplace(std::string(execution.name), KernelTotal{}).first;
  ++found->second.count;
  found->second.seconds += execution.end - execution.start;
  found->second.account += execution.account;
}

std::map<std::string, KernelTotal, std::less<>> KernelTotals::totals() const {
  const std::lock_guard lock(mutex_);
  return totals_;
}

}  // namespace mtia::runtime
