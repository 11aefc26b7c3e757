// Sums of accounts by the name of the kernel, copy or fill: where a script's chip time and energy go.
#pragma once

#include <map>
#include <mutex>
#include <string>

#include "runtime/observers/command_observer.h"

namespace mtia::runtime {

struct KernelTotal {
  uint64_t count = 0;
  double seconds = 0;  // on its engine: the grid, or the host link
  emulator::LaunchAccount account;
};

class KernelTotals final : public CommandObserver {
 public:
  explicit KernelTotals(int device) : device_(device) {}
  void executed(const Execution& execution) override;
  std::map<std::string, KernelTotal, std::less<>> totals() const;

 private:
  const int device_;
  mutable std::mutex mutex_;
  std::map<std::string, KernelTotal, std::less<>> totals_;
};

}  // namespace mtia::runtime
