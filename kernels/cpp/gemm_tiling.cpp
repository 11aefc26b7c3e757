// Estimates a product's time on the chip for each candidate tiling and takes the least.
#include "kernels/cpp/gemm_tiling.h"

#include <algorithm>
#include <array>
#include <cstddef>

#include "base/error.h"

namespace mtia::kernels {

namespace {

constexpr std::array<int64_t, 8> extents{16, 32, 48, 64, 96, 128, 192, 256};
constexpr std::array<int64_t, 5> depths{32, 64, 128, 256, 512};

double divide_up(double value, double unit) {
  return static_cast<double>((static_cast<int64_t>(value) + static_cast<int64_t>(unit) - 1) /
                             static_cast<int64_t>(unit));
}

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

// Local memory is handed out in pieces of 64 bytes.
uint64_t tile_bytes(int64_t rows, int64_t columns, DType dtype) {
  return round_up(static_cast<uint64_t>(rows * columns) * size_of(dtype), 64);
}

DType accumulator(DType operands) { return operands == DType::F64 ? DType::F64 : DType::F32; }

double macs_per_cycle(const ChipSpec& chip, DType dtype) {
  switch (dtype) {
    case DType::F64:
      return chip.dot_f64_macs_per_cycle;
    case DType::F32:
      return chip.dot_f32_macs_per_cycle;
    case DType::F8E4M3:
    case DType::F8E5M2:
      return chip.dot_f8_macs_per_cycle > 0 ? chip.dot_f8_macs_per_cycle : chip.dot_f16_macs_per_cycle;
    default:
      return chip.dot_f16_macs_per_cycle;
  }
}

class Estimate {
 public:
  Estimate(const ChipSpec& chip, const GemmShape& shape, uint32_t processing_elements)
      : chip_(chip), shape_(shape), elements_(processing_elements), rate_(macs_per_cycle(chip, shape.operands)) {
    const double share = chip.sram_bytes_per_second / chip.clock_hz / processing_elements;
    bytes_per_cycle_ = std::min(chip.fabric_bytes_per_cycle, share);
  }

  // Cycles of the busiest PE.
  double cycles(const GemmTiling& tiling) const {
    const auto size = static_cast<double>(size_of(shape_.operands));
    const auto rows = static_cast<double>(tiling.rows);
    const auto columns = static_cast<double>(tiling.columns);
    const auto depth = static_cast<double>(tiling.depth);
    const double tiles = divide_up(static_cast<double>(shape_.m), rows) *
                         divide_up(static_cast<double>(shape_.n), columns) * static_cast<double>(shape_.batches);
    const double steps = shape_.k == 0 ? 0 : divide_up(static_cast<double>(shape_.k), depth);
    const auto unit = static_cast<double>(chip_.dot_tile_rows);
    const double unit_depth = std::max(1.0, static_cast<double>(chip_.dot_tile_k_bytes) / size);
    const double macs =
        divide_up(rows, unit) * unit * divide_up(columns, unit) * unit * divide_up(depth, unit_depth) * unit_depth;
    const double product = macs / rate_ + chip_.dot_fill_cycles;
    // a and b rows are contiguous pieces; the transposed ones have as many pieces as k values or columns.
    const double load = ((rows + columns) * depth * size) / bytes_per_cycle_ + 2 * chip_.fabric_issue_cycles +
                        (rows + depth) * chip_.fabric_row_cycles;
    const double result_bytes =
        rows * columns * static_cast<double>(size_of(shape_.result) + (shape_.has_addend ? size_of(shape_.addend) : 0));
    const double store = result_bytes / bytes_per_cycle_ + rows * chip_.fabric_row_cycles +
                         rows * columns / chip_.vector_32bit_elements_per_cycle;
    const double step = tiling.pages > 1 ? std::max(product, load) : product + load;
    const double body = steps * step + 4 * chip_.command_issue_cycles * steps;
    const double tile = tiling.accumulators > 1 ? std::max(body, store) : body + store;
    return divide_up(tiles, elements_) * tile + load + store;
  }

 private:
  const ChipSpec& chip_;
  const GemmShape& shape_;
  double elements_;
  double rate_;
  double bytes_per_cycle_;
};

}  // namespace

uint64_t local_bytes_of(const GemmTiling& tiling, const GemmShape& shape) {
  const DType sum = accumulator(shape.operands);
  const uint64_t pages = tiling.pages * (tile_bytes(tiling.rows, tiling.depth, shape.operands) +
                                         tile_bytes(tiling.depth, tiling.columns, shape.operands));
  const uint64_t sums = tiling.accumulators * tile_bytes(tiling.rows, tiling.columns, sum);
  const uint64_t result =
      shape.result == sum ? 0 : tiling.accumulators * tile_bytes(tiling.rows, tiling.columns, shape.result);
  uint64_t addend = 0;
  if (shape.has_addend) {
    addend = tile_bytes(tiling.rows, tiling.columns, shape.addend);
    if (shape.addend != sum) addend += tile_bytes(tiling.rows, tiling.columns, sum);
  }
  return pages + sums + result + addend;
}

GemmTiling choose_gemm_tiling(const ChipSpec& chip, const GemmShape& shape, uint32_t processing_elements,
                              uint64_t local_bytes) {
  const Estimate estimate(chip, shape, processing_elements);
  GemmTiling best{};
  double least = 0;
  bool found = false;
  for (const uint32_t buffers : {2U, 1U}) {
    for (const int64_t rows : extents) {
      if (rows > extents.front() && rows / 2 >= shape.m) continue;
      for (const int64_t columns : extents) {
        if (columns > extents.front() && columns / 2 >= shape.n) continue;
        for (const int64_t depth : depths) {
          if (depth > depths.front() && depth / 2 >= shape.k) continue;
          const GemmTiling tiling{rows, columns, depth, buffers, buffers};
          if (local_bytes_of(tiling, shape) > local_bytes) break;
          const double cycles = estimate.cycles(tiling);
          // Among equals the later, larger one: fewer instructions.
          if (!found || cycles <= least) {
            best = tiling;
            least = cycles;
            found = true;
          }
        }
      }
    }
    if (found) return best;
  }
  const GemmTiling smallest{extents.front(), extents.front(), depths.front(), 1, 1};
  throw OutOfLocalMemory(concat("the smallest tiles need ", local_bytes_of(smallest, shape),
                                " bytes of local memory, a PE of ", chip.name, " has ", local_bytes, " free"),
                         "gemm", "use a chip with more local memory");
}

}  // namespace mtia::kernels
