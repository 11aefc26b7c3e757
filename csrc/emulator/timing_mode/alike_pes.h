// PEs of a launch in timing mode that run alike programs: one of them is walked, the others have its account.
#pragma once

#include <cstdint>
#include <span>
#include <vector>

#include "emulator/emulator.h"
#include "emulator/pe/pe_state.h"

namespace mtia::emulator {

struct Frame;
struct TimedProgram;

class AlikePes {
 public:
  AlikePes(const TimedProgram& program, uint64_t programs, uint32_t pes);

  // Whether it pays to look for alike ones.
  bool is_worthwhile() const;

  // Finds who is alike; `frame` holds the launch's arguments.
  void find(Frame& frame);

  // The PEs that have to be walked, each before those that are like it.
  const std::vector<uint32_t>& walked() const { return walked_; }

  // Where the walk of a PE's program notes what it touches; nullptr: nobody is like it.
  TransferRange* ranges_of(uint32_t pe, uint64_t program);

  // After the walk: gives the others their accounts. Returns those that reach beyond a tensor where the one they are
  // like does not: they have to be walked too.
  std::vector<uint32_t> share(std::span<PeState> pes);

 private:
  uint64_t turns_of(uint32_t pe) const { return (programs_ - pe + pes_ - 1) / pes_; }
  bool follow(uint32_t pe, uint32_t leader, std::span<PeState> pes);

  const TimedProgram& program_;
  uint64_t programs_;
  uint32_t pes_;
  size_t transfers_;
  std::vector<int64_t> moved_;  // by program and transfer: bytes
  std::vector<uint32_t> like_;  // by PE: the first one that it is like
  std::vector<uint32_t> walked_;
  std::vector<std::vector<TransferRange>> ranges_;  // by PE, turn and transfer
};

}  // namespace mtia::emulator
