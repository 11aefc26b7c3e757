// A strided set of device bytes in a canonical form: what one DMA touches, in as few contiguous rows as there are.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mtia::emulator {

// `run` bytes at base + sum(index[d] * stride[d]), index[d] < count[d]. Strides are positive and ascend.
struct ByteRows {
  static constexpr size_t max_rank = 6;

  uint64_t base = 0;
  uint64_t run = 0;
  uint32_t rank = 0;
  std::array<uint64_t, max_rank> stride{};
  std::array<uint64_t, max_rank> count{};

  // Adds a dimension of `extent` steps of `step` bytes; a step of 0 repeats the same bytes.
  void add(int64_t extent, int64_t step) {
    if (extent <= 1 || step == 0) return;
    uint64_t forward = static_cast<uint64_t>(step);
    if (step < 0) {
      forward = uint64_t{0} - forward;
      base -= forward * static_cast<uint64_t>(extent - 1);
    }
    size_t place = rank;
    for (; place > 0 && stride[place - 1] > forward; --place) {
      stride[place] = stride[place - 1];
      count[place] = count[place - 1];
    }
    stride[place] = forward;
    count[place] = static_cast<uint64_t>(extent);
    ++rank;
  }

  // Joins rows that follow each other without a gap. After the last add.
  void join() {
    size_t kept = 0;
    for (size_t d = 0; d < rank; ++d) {
      if (kept == 0 && stride[d] == run) {
        run *= count[d];
      } else if (kept != 0 && stride[d] == stride[kept - 1] * count[kept - 1]) {
        count[kept - 1] *= count[d];
      } else {
        stride[kept] = stride[d];
        count[kept] = count[d];
        ++kept;
      }
    }
    rank = static_cast<uint32_t>(kept);
  }

  uint64_t end() const {
    uint64_t last = base + run;
    for (size_t d = 0; d < rank; ++d) last += stride[d] * (count[d] - 1);
    return last;
  }
};

// Calls body(address, bytes) for each row by ascending index until it returns false; returns whether all were visited.
template <typename Body>
bool for_each_row(const ByteRows& rows, const Body& body) {
  if (rows.run == 0) return true;
  if (rows.rank == 0) return body(rows.base, rows.run);
  std::array<uint64_t, ByteRows::max_rank> index{};
  uint64_t outer = rows.base;
  for (;;) {
    uint64_t address = outer;
    for (uint64_t i = 0; i < rows.count[0]; ++i, address += rows.stride[0]) {
      if (!body(address, rows.run)) return false;
    }
    size_t d = 1;
    for (; d < rows.rank; ++d) {
      outer += rows.stride[d];
      if (++index[d] < rows.count[d]) break;
      outer -= rows.stride[d] * rows.count[d];
      index[d] = 0;
    }
    if (d >= rows.rank) return true;
  }
}

}  // namespace mtia::emulator
