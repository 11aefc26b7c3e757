// PEs of a C++ kernel that make the same calls, as the kernel says: in timing mode one of them is walked, the others
// have its account.
#pragma once

#include <cstdint>
#include <map>
#include <mutex>
#include <span>
#include <vector>

#include "emulator/memory/device_memory.h"

namespace mtia::emulator {

struct PeState;

class SharedWork {
 public:
  // `calls` tells what the PE is about to do. True: another PE does the same, and this one is done; `touched` is what
  // it would have touched, by operand. Any thread.
  bool is_done_elsewhere(PeState& pe, std::vector<int64_t>&& calls, std::span<const AddressRange> touched);

  size_t followers() const { return followers_.size(); }

  // After the launch: gives the PEs that did nothing the accounts of those that did the same.
  void share(std::span<PeState> pes);

 private:
  struct Follower {
    uint32_t pe;
    uint32_t walked;
  };
  std::mutex mutex_;
  std::map<std::vector<int64_t>, uint32_t> walked_;
  std::vector<Follower> followers_;
};

}  // namespace mtia::emulator
