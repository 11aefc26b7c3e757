// Indexed DMA (gather, scatter) and atomics on device memory.
#pragma once

#include <cstdint>

#include "emulator/pe/command_processor/op.h"

namespace mtia::emulator {

struct IndexedDetail {
  uint32_t base = 0xFFFFFFFF;  // scalar, or absent: offsets are byte addresses
  Place offset;
  DType offset_dtype = DType::I64;
  bool offset_single = false;
  DType dtype = DType::F32;
  uint32_t size = 4;
  uint64_t elements = 1;
  // The result, the values stored, and the swap value of atomic_cas.
  Place result;
  uint32_t result_scalar = 0xFFFFFFFF;
  bool has_result = false;
  Place value;
  bool value_single = false;
  Place desired;
  bool desired_single = false;
  bool is_atomic = false;
  bool has_mask = false;
  Place mask;
  bool mask_single = false;
  bool has_other = false;
  Place other;
  bool other_single = true;
  uint8_t kind = 0;          // AtomicKind
  uint32_t instruction = 0;  // index in the tile program
};

}  // namespace mtia::emulator
