// What checked mode knows of a launch besides its addresses: the tensors behind them, and who launched it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <cstdlib>
#include <string>
#include <vector>

#include "emulator/memory/device_memory.h"

namespace mtia::emulator {

// A tensor as it was at the launch. Strides are in elements.
struct TensorNote {
  std::string name;
  uint64_t address = 0;
  uint64_t item_bytes = 1;
  std::vector<int64_t> sizes;
  std::vector<int64_t> strides;
  AddressRange reach;  // from the tensor's first to past its last element

  // Whether bytes of `reach` are no element's, in a layout whose rows do not overlap.
  bool has_gaps() const { return gaps_; }

  // Fills `reach` and what follows from the other fields.
  void find_reach() {
    reach = {address, address};
    uint64_t low = 0;
    uint64_t high = 0;
    uint64_t elements = 1;
    for (size_t d = 0; d < sizes.size(); ++d) {
      if (sizes[d] == 0) return;
      const int64_t last = (sizes[d] - 1) * strides[d];
      last < 0 ? low += static_cast<uint64_t>(-last) : high += static_cast<uint64_t>(last);
      if (sizes[d] > 1 && strides[d] != 0) {
        elements *= static_cast<uint64_t>(sizes[d]);
        order_.push_back(d);
      }
    }
    reach = {address - low * item_bytes, address + (high + 1) * item_bytes};
    std::sort(order_.begin(), order_.end(),
              [this](size_t a, size_t b) { return std::abs(strides[a]) > std::abs(strides[b]); });
    // Each step of a dimension passes all that the finer ones reach.
    int64_t inner = 1;
    for (size_t i = order_.size(); i-- > 0;) {
      if (strides[order_[i]] < inner) return;
      inner = (sizes[order_[i]] - 1) * strides[order_[i]] + inner;
    }
    gaps_ = elements * item_bytes != reach.bytes();
  }

  // The index of the element that holds `at`; empty where no element does, and for a tensor of rank 0.
  std::vector<int64_t> index_of(uint64_t at) const {
    if (at < reach.begin || at >= reach.end) return {};
    std::vector<int64_t> index(sizes.size(), 0);
    auto rest = static_cast<int64_t>((at - reach.begin) / item_bytes);
    for (const size_t d : order_) {
      if (strides[d] < 0) return {};
      index[d] = std::min(rest / strides[d], sizes[d] - 1);
      rest -= index[d] * strides[d];
    }
    return rest == 0 ? index : std::vector<int64_t>{};
  }

  // The first byte of a range inside of `reach` that is no element's, or its end. Only where has_gaps().
  uint64_t first_gap(uint64_t at, uint64_t bytes) const {
    const uint64_t end = at + bytes;
    while (at < end) {
      int64_t rest = static_cast<int64_t>((at - reach.begin) / item_bytes);
      int64_t ahead = 1;  // elements from here to the end of a dense row
      for (const size_t d : order_) {
        const int64_t index = std::min(rest / strides[d], sizes[d] - 1);
        rest -= index * strides[d];
        if (strides[d] == 1) ahead = sizes[d] - index;
      }
      if (rest != 0) return at;
      const uint64_t element = reach.begin + (at - reach.begin) / item_bytes * item_bytes;
      at = element + static_cast<uint64_t>(ahead) * item_bytes;
    }
    return end;
  }

 private:
  std::vector<size_t> order_;  // dimensions that move, the widest step first
  bool gaps_ = false;
};

struct LaunchNotes {
  static constexpr uint32_t no_tensor = UINT32_MAX;

  std::vector<TensorNote> tensors;
  std::vector<uint32_t> tensor_of_argument;  // by argument of a tile program; no_tensor for numbers
  bool moves = false;                        // the kernel only copies: what it reads may be unwritten
};

}  // namespace mtia::emulator
