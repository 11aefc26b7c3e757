// The stages of a discrete Fourier transform on tiles of local memory, by vector instructions.
#pragma once

#include <vector>

#include "emulator/pe/processing_element.h"

namespace mtia::kernels {

// Complex numbers as two tiles of one shape.
struct ComplexTile {
  emulator::Tile real;
  emulator::Tile imaginary;

  // `rows` x `columns` elements from `first` on, counted along a dense tile.
  ComplexTile block(int64_t first, int64_t rows, int64_t columns, int64_t row_stride) const;
  ComplexTile block(int64_t first, int64_t rows, int64_t columns) const { return block(first, rows, columns, columns); }
  ComplexTile swapped() const { return {imaginary, real}; }
};

ComplexTile allocate_complex(emulator::ProcessingElement& pe, DType dtype, int64_t elements);

// d = a b; d shares no memory with a or b.
void multiply(emulator::ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, const ComplexTile& b);

// Transforms of `length` numbers each, which stand in `columns` columns of a dense matrix, by Stockham's method: one
// stage a radix, each from one buffer to the other. `roots`: stage_roots of fft_plan.h. Results are in the buffer that
// is returned, in their natural order; the other is overwritten.
class FftStages {
 public:
  FftStages(emulator::ProcessingElement& pe, int64_t length, const std::vector<int64_t>& radices,
            const emulator::Tile& roots, const ComplexTile& scratch)
      : pe_(pe), length_(length), radices_(radices), roots_(roots), scratch_(scratch) {}

  // Returns whether the results are in `other`.
  bool run(const ComplexTile& signal, const ComplexTile& other, int64_t columns) const;

 private:
  struct Stage;
  void two(const Stage& stage) const;
  void four(const Stage& stage) const;
  void odd(const Stage& stage) const;

  emulator::ProcessingElement& pe_;
  int64_t length_;
  const std::vector<int64_t>& radices_;
  emulator::Tile roots_;
  ComplexTile scratch_;
};

}  // namespace mtia::kernels
