// Strided copies: dimensions are merged, then rows are copied, transposed or gathered.
#include "emulator/pe/memory_layout_unit/strided_copy.h"

#include <cstring>
#include <utility>

#include "host_math/layout.h"

namespace mtia::emulator {
namespace {

struct Reduced {
  uint32_t rank = 0;
  std::array<int64_t, StridedBox::max_rank> extent{};
  std::array<int64_t, StridedBox::max_rank> to{};
  std::array<int64_t, StridedBox::max_rank> from{};
  bool empty = false;
};

// Drops dimensions of one element and merges neighbours that are contiguous on both sides.
Reduced reduce_box(const StridedBox& box) {
  Reduced out;
  for (uint32_t d = 0; d < box.rank; ++d) {
    if (box.extent[d] == 0) out.empty = true;
    if (box.extent[d] == 1) continue;
    if (out.rank != 0) {
      const uint32_t last = out.rank - 1;
      if (out.to[last] == box.to_stride[d] * box.extent[d] && out.from[last] == box.from_stride[d] * box.extent[d]) {
        out.extent[last] *= box.extent[d];
        out.to[last] = box.to_stride[d];
        out.from[last] = box.from_stride[d];
        continue;
      }
    }
    out.extent[out.rank] = box.extent[d];
    out.to[out.rank] = box.to_stride[d];
    out.from[out.rank] = box.from_stride[d];
    ++out.rank;
  }
  return out;
}

template <size_t size>
void copy_elements(std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride, int64_t count) {
  for (int64_t i = 0; i < count; ++i) std::memcpy(to + i * to_stride, from + i * from_stride, size);
}

void copy_row(std::byte* to, int64_t to_stride, const std::byte* from, int64_t from_stride, int64_t count,
              size_t element_size) {
  const auto size = static_cast<int64_t>(element_size);
  if (to_stride == size && from_stride == size) {
    std::memcpy(to, from, static_cast<size_t>(count * size));
    return;
  }
  switch (element_size) {
    case 1:
      return copy_elements<1>(to, to_stride, from, from_stride, count);
    case 2:
      return copy_elements<2>(to, to_stride, from, from_stride, count);
    case 4:
      return copy_elements<4>(to, to_stride, from, from_stride, count);
    default:
      return copy_elements<8>(to, to_stride, from, from_stride, count);
  }
}

// The last two dimensions at once.
void copy_plane(const Reduced& box, std::byte* to, const std::byte* from, size_t element_size) {
  const auto size = static_cast<int64_t>(element_size);
  const uint32_t inner = box.rank - 1;
  const uint32_t outer = box.rank - 2;
  const bool row_multiples =
      box.from[inner] % size == 0 && box.to[outer] % size == 0 && box.from[inner] > 0 && box.to[outer] > 0;
  if (box.to[inner] == size && box.from[outer] == size && row_multiples) {
    host_math::transpose(element_size, to, static_cast<size_t>(box.to[outer] / size), from,
                         static_cast<size_t>(box.from[inner] / size), static_cast<size_t>(box.extent[inner]),
                         static_cast<size_t>(box.extent[outer]));
    return;
  }
  if (box.to[outer] == size && box.from[inner] == size && box.to[inner] > 0 && box.from[outer] > 0 &&
      box.to[inner] % size == 0 && box.from[outer] % size == 0) {
    host_math::transpose(element_size, to, static_cast<size_t>(box.to[inner] / size), from,
                         static_cast<size_t>(box.from[outer] / size), static_cast<size_t>(box.extent[outer]),
                         static_cast<size_t>(box.extent[inner]));
    return;
  }
  if (box.to[inner] == size && box.from[inner] == size) {
    host_math::copy_rows(to, box.to[outer], from, box.from[outer], static_cast<size_t>(box.extent[outer]),
                         static_cast<size_t>(box.extent[inner] * size));
    return;
  }
  for (int64_t i = 0; i < box.extent[outer]; ++i) {
    copy_row(to + i * box.to[outer], box.to[inner], from + i * box.from[outer], box.from[inner], box.extent[inner],
             element_size);
  }
}

void copy_from_dimension(const Reduced& box, uint32_t dimension, std::byte* to, const std::byte* from,
                         size_t element_size) {
  if (dimension + 2 == box.rank) return copy_plane(box, to, from, element_size);
  for (int64_t i = 0; i < box.extent[dimension]; ++i) {
    copy_from_dimension(box, dimension + 1, to + i * box.to[dimension], from + i * box.from[dimension], element_size);
  }
}

}  // namespace

void copy_box(const StridedBox& box, std::byte* to, const std::byte* from, size_t element_size) {
  const Reduced reduced = reduce_box(box);
  if (reduced.empty) return;
  if (reduced.rank == 0) {
    std::memcpy(to, from, element_size);
  } else if (reduced.rank == 1) {
    copy_row(to, reduced.to[0], from, reduced.from[0], reduced.extent[0], element_size);
  } else {
    copy_from_dimension(reduced, 0, to, from, element_size);
  }
}

void copy_box_masked(const StridedBox& box, std::byte* to, const std::byte* from, size_t element_size,
                     const std::byte* mask, const std::array<int64_t, StridedBox::max_rank>& mask_stride) {
  std::array<int64_t, StridedBox::max_rank> index{};
  const uint32_t inner = box.rank == 0 ? 0 : box.rank - 1;
  const int64_t count = box.rank == 0 ? 1 : box.extent[inner];
  for (uint32_t d = 0; d < box.rank; ++d) {
    if (box.extent[d] == 0) return;
  }
  const int64_t to_step = box.rank == 0 ? 0 : box.to_stride[inner];
  const int64_t from_step = box.rank == 0 ? 0 : box.from_stride[inner];
  const int64_t mask_step = box.rank == 0 ? 0 : mask_stride[inner];
  for (;;) {
    int64_t to_offset = 0;
    int64_t from_offset = 0;
    int64_t mask_offset = 0;
    for (uint32_t d = 0; d < inner; ++d) {
      to_offset += index[d] * box.to_stride[d];
      from_offset += index[d] * box.from_stride[d];
      mask_offset += index[d] * mask_stride[d];
    }
    for (int64_t i = 0; i < count;) {
      if (mask[mask_offset + i * mask_step] == std::byte{0}) {
        ++i;
        continue;
      }
      int64_t end = i + 1;
      while (end < count && mask[mask_offset + end * mask_step] != std::byte{0}) ++end;
      copy_row(to + to_offset + i * to_step, to_step, from + from_offset + i * from_step, from_step, end - i,
               element_size);
      i = end;
    }
    uint32_t d = inner;
    while (d > 0) {
      --d;
      if (++index[d] < box.extent[d]) break;
      index[d] = 0;
      if (d == 0) return;
    }
    if (inner == 0) return;
  }
}

}  // namespace mtia::emulator
