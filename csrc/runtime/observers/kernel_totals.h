// Sums of accounts by the name of the kernel, copy or fill, and by what the host said it was for: where a script's chip
// time and energy go.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <string>
#include <unordered_map>
#include <utility>

#include "runtime/observers/command_observer.h"

namespace mtia::runtime {

// What the calling thread submits from now on is for: a number of the caller's, 0 for nothing in particular.
void set_purpose(uint32_t purpose);

struct KernelTotal {
  uint64_t count = 0;
  double seconds = 0;  // on its engine: the grid, or the host link
  emulator::LaunchAccount account;
};

class KernelTotals final : public CommandObserver {
 public:
  using Key = std::pair<uint32_t, std::string>;  // purpose, name

  explicit KernelTotals(int device) : device_(device) {}
  void submitted(const Submission& submission) override;
  void executed(const Execution& execution) override;
  std::map<Key, KernelTotal> totals() const;

 private:
  const int device_;
  mutable std::mutex mutex_;
  std::map<Key, KernelTotal> totals_;
  // A command may be executed before its submitter has told of it.
  std::unordered_map<Ticket, uint32_t> purposes_;
  std::unordered_map<Ticket, std::pair<std::string, KernelTotal>> unclaimed_;
};

}  // namespace mtia::runtime
