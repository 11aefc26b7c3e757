// How a matrix product is cut into tiles of one PE's local memory: the choice that takes the least time on the chip.
#pragma once

#include <cstdint>

#include "base/dtype.h"
#include "chip/chip_spec.h"

namespace mtia::kernels {

struct GemmShape {
  int64_t m;
  int64_t n;
  int64_t k;
  int64_t batches;
  DType operands;
  DType result;
  bool has_addend;
  DType addend;

  bool operator==(const GemmShape&) const = default;
};

struct GemmTiling {
  int64_t rows;           // of a tile of c
  int64_t columns;        // of a tile of c
  int64_t depth;          // values of k in one page of a and b
  uint32_t pages;         // pages of a and of b: pages - 1 loads run beside the product
  uint32_t accumulators;  // 2 lets the next tile's products run beside the store of this one
};

// Rows of a tile of c that are converted and stored at once where c is narrower than the sums.
constexpr int64_t gemm_store_rows = 32;

// Deterministic: depends on the arguments alone. `local_bytes` is what a PE has free. Throws OutOfLocalMemory where
// even the smallest tiles do not fit.
GemmTiling choose_gemm_tiling(const ChipSpec& chip, const GemmShape& shape, uint32_t processing_elements,
                              uint64_t local_bytes);

// Bytes of local memory that the kernel takes with a tiling.
uint64_t local_bytes_of(const GemmTiling& tiling, const GemmShape& shape);

}  // namespace mtia::kernels
