// Tensor arguments of a kernel, and the regions of them that DMA moves.
#pragma once

#include <type_traits>

#include "types.h"

namespace mtia {

// The part of a tensor that starts at an index; how much of it is moved is the tile's affair, what lies outside of the
// tensor is filled (0, or fill's number) by a load and left out by a store.
template <typename T, int Rank>
class Region {
 public:
  explicit constexpr Region(const mtia_region& region) : region_(region) {}

  constexpr Region fill(double value) const {
    Region other = *this;
    other.region_.fill = value;
    return other;
  }
  // As if the tensor ended `rows` rows and `columns` columns behind the region's start.
  constexpr Region clip(int64_t rows, int64_t columns) const {
    Region other = *this;
    if (rows < other.region_.valid_rows) other.region_.valid_rows = rows;
    if (columns < other.region_.valid_columns) other.region_.valid_columns = columns;
    return other;
  }
  constexpr const mtia_region& description() const { return region_; }

 private:
  mtia_region region_;
};

// T const: the kernel reads it only. Sizes and strides count elements; they travel with the launch.
template <typename T, int Rank>
struct Tensor {
  static_assert(detail::Element<std::remove_const_t<T>>::known, "mtia_rule_elements_must_be_of_a_chip_type");
  static_assert(Rank >= 1 && Rank <= 8, "mtia_rule_tensors_have_one_to_eight_dimensions");
  using element_type = std::remove_const_t<T>;
  static constexpr uint8_t dtype = detail::Element<element_type>::dtype;
  static constexpr bool is_written = !std::is_const_v<T>;

  uint64_t base;  // device address; no host code can follow it
  int64_t sizes[Rank];
  int64_t strides[Rank];

  constexpr int64_t size(int dimension = 0) const { return sizes[dimension]; }
  constexpr int64_t stride(int dimension = 0) const { return strides[dimension]; }

  // The tensor without its first dimension, at `index` of it.
  constexpr Tensor<T, Rank - 1> operator[](int64_t index) const
    requires(Rank > 1)
  {
    Tensor<T, Rank - 1> part{};
    part.base = base + static_cast<uint64_t>(index * strides[0]) * sizeof(element_type);
    for (int d = 1; d < Rank; ++d) {
      part.sizes[d - 1] = sizes[d];
      part.strides[d - 1] = strides[d];
    }
    // Outside of the tensor nothing exists.
    if (index < 0 || index >= sizes[0]) part.sizes[0] = 0;
    return part;
  }

  constexpr Tensor transposed() const
    requires(Rank == 2)
  {
    return {base, {sizes[1], sizes[0]}, {strides[1], strides[0]}};
  }

  constexpr Region<T, 1> at(int64_t index) const
    requires(Rank == 1)
  {
    return Region<T, 1>(mtia_region{.base = base + static_cast<uint64_t>(index * strides[0]) * sizeof(element_type),
                                    .row_stride = 0,
                                    .column_stride = strides[0],
                                    .valid_rows = 1,
                                    .valid_columns = sizes[0] - index,
                                    .row = 0,
                                    .column = index,
                                    .fill = 0,
                                    .dtype = dtype});
  }

  constexpr Region<T, 2> at(int64_t row, int64_t column) const
    requires(Rank == 2)
  {
    return Region<T, 2>(
        mtia_region{.base = base + static_cast<uint64_t>(row * strides[0] + column * strides[1]) * sizeof(element_type),
                    .row_stride = strides[0],
                    .column_stride = strides[1],
                    .valid_rows = sizes[0] - row,
                    .valid_columns = sizes[1] - column,
                    .row = row,
                    .column = column,
                    .fill = 0,
                    .dtype = dtype});
  }
};

// A launch argument that PEs draw items 0 ... items - 1 from, in the order of chip time.
struct WorkQueue {
  int64_t items;
  uint64_t number;  // among the queues of the kernel
};

}  // namespace mtia
