// Copies between strided boxes of up to six dimensions: what transposes, slices and DMA descriptors come down to.
#pragma once

#include <array>
#include <cstddef>
#include <cstdint>

namespace mtia::emulator {

struct StridedBox {
  static constexpr size_t max_rank = 6;
  uint32_t rank = 0;
  std::array<int64_t, max_rank> extent{};
  std::array<int64_t, max_rank> to_stride{};    // bytes
  std::array<int64_t, max_rank> from_stride{};  // bytes
};

// Copies the box's elements of 1, 2, 4 or 8 bytes. The sides do not overlap.
void copy_box(const StridedBox& box, std::byte* to, const std::byte* from, size_t element_size);

// Copies only the elements whose mask byte is set; mask strides in bytes.
void copy_box_masked(const StridedBox& box, std::byte* to, const std::byte* from, size_t element_size,
                     const std::byte* mask, const std::array<int64_t, StridedBox::max_rank>& mask_stride);

}  // namespace mtia::emulator
