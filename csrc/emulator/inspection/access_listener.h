// Who is told of the accesses to device memory that a launch makes.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::emulator {

class AccessListener {
 public:
  virtual ~AccessListener() = default;
  // Before [low, high) is read or written by elements of `dtype`. Any worker thread. What it throws ends the launch.
  virtual void touch(uint64_t low, uint64_t high, bool write, DType dtype) = 0;
  // Of what a write touches, all of [low, high) is written. Not said of writes that leave elements out by their mask,
  // or by an index each. Any worker thread.
  virtual void overwrite(uint64_t low, uint64_t high) = 0;
};

}  // namespace mtia::emulator
