// Estimates a product's time on the chip for each candidate tiling and takes the least.
#include "kernels/cpp/gemm_tiling.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <span>

#include "base/error.h"

namespace mtia::kernels {

namespace {

constexpr std::array<int64_t, 16> all_extents{16, 32, 48, 64, 80, 96, 112, 128, 160, 192, 224, 240, 256, 320, 384, 512};
// The last three only where local memory holds such a tile beside its operands: else they would lengthen the search for
// nothing.
constexpr size_t usual_extents = 13;
constexpr uint64_t bytes_for_all_extents = 448 << 10;

std::span<const int64_t> extents_for(uint64_t local_bytes) {
  return std::span(all_extents).first(local_bytes < bytes_for_all_extents ? usual_extents : all_extents.size());
}

constexpr std::array<int64_t, 4> depths{32, 64, 128, 256};

struct Buffers {
  uint32_t pages;
  uint32_t accumulators;
};
constexpr std::array<Buffers, 5> buffers{{{3, 2}, {2, 2}, {3, 1}, {2, 1}, {1, 1}}};

// Among tilings this close to the best, the one that reuses operands most is taken: fewer bytes and instructions, and
// less work for the host.
constexpr double tolerance = 1.08;

double divide_up(int64_t value, int64_t unit) { return static_cast<double>((value + unit - 1) / unit); }

// Multiply-accumulates an element of a or b, and (up to a point) an instruction.
double reuse_of(const GemmTiling& tiling) {
  const double products =
      static_cast<double>(tiling.rows * tiling.columns) / static_cast<double>(tiling.rows + tiling.columns);
  return products * static_cast<double>(std::min<int64_t>(tiling.depth, 128) + 128);
}

uint64_t round_up(uint64_t value, uint64_t unit) { return (value + unit - 1) / unit * unit; }

// Local memory is handed out in pieces of 64 bytes.
uint64_t tile_bytes(int64_t rows, int64_t columns, DType dtype) {
  return round_up(static_cast<uint64_t>(rows * columns) * size_of(dtype), 64);
}

DType accumulator(DType operands) { return operands == DType::F64 ? DType::F64 : DType::F32; }

uint64_t sum_bytes(const GemmTiling& tiling, const GemmShape& shape) {
  return tiling.accumulators * tile_bytes(tiling.rows, tiling.columns, accumulator(shape.operands));
}

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
      : chip_(chip),
        shape_(shape),
        count_(processing_elements),
        size_(static_cast<double>(size_of(shape.operands))),
        rate_(macs_per_cycle(chip, shape.operands)),
        latency_(chip.cycles(chip.dram_latency_ns * 1e-9)) {
    share_ = chip.one_way_bytes_per_second() / chip.clock_hz / processing_elements;
    unit_depth_ = std::max<int64_t>(1, static_cast<int64_t>(chip.dot_tile_k_bytes / size_of(shape.operands)));
    result_bytes_ = static_cast<double>(size_of(shape.result) + (shape.has_addend ? size_of(shape.addend) : 0));
  }

  // Cycles of the busiest PE.
  double cycles(const GemmTiling& tiling) const {
    const auto rows = static_cast<double>(tiling.rows);
    const auto columns = static_cast<double>(tiling.columns);
    const auto depth = static_cast<double>(tiling.depth);
    const double tiles =
        divide_up(shape_.m, tiling.rows) * divide_up(shape_.n, tiling.columns) * static_cast<double>(shape_.batches);
    const double waves = divide_up(static_cast<int64_t>(tiles), count_);
    const double steps = divide_up(shape_.k, tiling.depth);
    const auto padded = static_cast<double>(
        chip_.dot_padded(static_cast<uint64_t>(tiling.rows), static_cast<uint64_t>(tiling.columns)));
    const double product = padded * divide_up(tiling.depth, unit_depth_) * static_cast<double>(unit_depth_) / rate_;
    // Rows of a and b are contiguous pieces.
    const double load =
        std::max((rows + columns) / chip_.fabric_bytes_per_cycle, (rows + columns / sharers(tiling)) / share_) * depth *
            size_ +
        2 * chip_.fabric_issue_cycles + (rows + depth) * chip_.fabric_row_cycles;
    const double store = rows * columns * result_bytes_ / std::min(chip_.fabric_bytes_per_cycle, share_) +
                         rows * chip_.fabric_row_cycles;
    const double epilogue = rows * columns / chip_.vector_32bit_elements_per_cycle + chip_.dot_fill_cycles;
    const double issue = 6 * chip_.command_issue_cycles;
    // A page is loaded again when its product is done, so the pages share the time of load, latency and product.
    const double pages = tiling.pages;
    const double step = std::max({product, load, issue, (product + load + latency_) / pages});
    const double overlapped = std::max({steps * step, steps * load + store, epilogue});
    const double tile = tiling.accumulators > 1 ? overlapped : steps * step + epilogue;
    return waves * tile + load + latency_ + epilogue + store;
  }

 private:
  // PEs that read columns of b together: tiles below each other.
  double sharers(const GemmTiling& tiling) const {
    const auto group = static_cast<double>(chip_.fabric_multicast_pes);
    return divide_up(shape_.m, tiling.rows) >= group ? group : 1;
  }

  const ChipSpec& chip_;
  const GemmShape& shape_;
  int64_t count_;
  double size_;
  double rate_;
  double latency_;
  double share_ = 1;  // of the SRAM, bytes a cycle
  double result_bytes_ = 0;
  int64_t unit_depth_ = 1;
};

}  // namespace

uint64_t local_bytes_of(const GemmTiling& tiling, const GemmShape& shape) {
  const DType sum = accumulator(shape.operands);
  const uint64_t pages = tiling.pages * (tile_bytes(tiling.rows, tiling.depth, shape.operands) +
                                         tile_bytes(tiling.depth, tiling.columns, shape.operands));
  const uint64_t result =
      shape.result == sum ? 0 : 2 * tile_bytes(std::min(gemm_store_rows, tiling.rows), tiling.columns, shape.result);
  uint64_t addend = 0;
  if (shape.has_addend) {
    addend = tile_bytes(tiling.rows, tiling.columns, shape.addend);
    if (shape.addend != sum) addend += tile_bytes(tiling.rows, tiling.columns, sum);
  }
  return pages + sum_bytes(tiling, shape) + result + addend;
}

GemmTiling choose_gemm_tiling(const ChipSpec& chip, const GemmShape& shape, uint32_t processing_elements,
                              uint64_t local_bytes) {
  const Estimate estimate(chip, shape, processing_elements);
  const std::span<const int64_t> extents = extents_for(local_bytes);
  // Two passes: the least time, then the most reuse within tolerance of it.
  double least = -1;
  GemmTiling best{};
  double reuse = 0;
  for (const bool choose : {false, true}) {
    for (const int64_t rows : extents) {
      if (rows > extents.front() && rows / 2 >= shape.m) continue;
      for (const int64_t columns : extents) {
        if (columns > extents.front() && columns / 2 >= shape.n) continue;
        for (const int64_t depth : depths) {
          if (depth > depths.front() && depth / 2 >= shape.k) continue;
          for (const auto& [pages, accumulators] : buffers) {
            const GemmTiling tiling{rows, columns, depth, pages, accumulators};
            if (local_bytes_of(tiling, shape) > local_bytes || sum_bytes(tiling, shape) > chip.dot_accumulator_bytes)
              continue;
            const double cycles = estimate.cycles(tiling);
            if (!choose) {
              least = least < 0 ? cycles : std::min(least, cycles);
            } else if (cycles <= least * tolerance && reuse_of(tiling) > reuse) {
              best = tiling;
              reuse = reuse_of(tiling);
            }
          }
        }
      }
    }
  }
  if (reuse > 0) return best;
  const GemmTiling smallest{extents.front(), extents.front(), depths.front(), 1, 1};
  throw OutOfLocalMemory(concat("the smallest tiles need ", local_bytes_of(smallest, shape),
                                " bytes of local memory, a PE of ", chip.name, " has ", local_bytes, " free"),
                         "gemm", "use a chip with more local memory");
}

}  // namespace mtia::kernels
