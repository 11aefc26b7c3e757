// The dimensions of a strided copy, merged and ordered so that a kernel moves them as a few matrices.
#pragma once

#include <algorithm>
#include <cstdint>
#include <utility>

namespace mtia::kernels {

struct StridedDimension {
  int64_t size;
  int64_t destination;  // strides, in elements
  int64_t source;
};

// Dimensions of one copy, outermost first.
class StridedLayout {
 public:
  static constexpr uint32_t capacity = 64;

  StridedLayout(uint32_t rank, const int64_t* shape, const int64_t* destination, const int64_t* source) {
    for (uint32_t i = 0; i < rank; ++i) {
      if (shape[i] != 1) dimensions_[rank_++] = {shape[i], destination[i], source[i]};
    }
    // By falling stride of the destination: then its memory is written in order.
    std::stable_sort(dimensions_, dimensions_ + rank_, [](const StridedDimension& a, const StridedDimension& b) {
      return a.destination > b.destination;
    });
    merge();
    while (rank_ < 2) {  // kernels want a row and a column dimension
      std::move_backward(dimensions_, dimensions_ + rank_, dimensions_ + rank_ + 1);
      dimensions_[0] = {1, 0, 0};
      ++rank_;
    }
  }

  uint32_t rank() const { return rank_; }
  const StridedDimension& operator[](uint32_t index) const { return dimensions_[index]; }
  StridedDimension& operator[](uint32_t index) { return dimensions_[index]; }

  // The best dimension for rows: few long pieces instead of many short ones.
  uint32_t longest_before_last() const {
    uint32_t longest = rank_ - 2;
    for (uint32_t i = 0; i + 1 < rank_; ++i) {
      if (dimensions_[i].size > dimensions_[longest].size) longest = i;
    }
    return longest;
  }

  // Moves dimension `index` to `place`, which keeps the order of the others.
  void move(uint32_t index, uint32_t place) {
    const StridedDimension moved = dimensions_[index];
    for (; index < place; ++index) dimensions_[index] = dimensions_[index + 1];
    for (; index > place; --index) dimensions_[index] = dimensions_[index - 1];
    dimensions_[place] = moved;
  }

 private:
  // Joins an outer dimension with the next where both strides continue it.
  void merge() {
    uint32_t kept = 0;
    for (uint32_t i = 0; i < rank_; ++i) {
      const StridedDimension inner = dimensions_[i];
      if (kept > 0) {
        StridedDimension& outer = dimensions_[kept - 1];
        if (outer.destination == inner.destination * inner.size && outer.source == inner.source * inner.size) {
          outer = {outer.size * inner.size, inner.destination, inner.source};
          continue;
        }
      }
      dimensions_[kept++] = inner;
    }
    rank_ = kept;
  }

  StridedDimension dimensions_[capacity + 1];
  uint32_t rank_ = 0;
};

}  // namespace mtia::kernels
