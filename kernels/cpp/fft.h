// Arguments of the C++ kernel "fft": discrete Fourier transforms along one dimension that fit the local memory of a PE.
// Longer ones, and those of lengths with large prime factors, are made of several launches.
#pragma once

#include <cstdint>

#include "base/dtype.h"

namespace mtia::kernels {

constexpr uint32_t max_fft_batch_rank = 8;

// Numbers in device memory: real, or complex as neighbouring pairs. Strides count such numbers.
struct FftSignal {
  uint64_t base = 0;  // 0: not there
  int64_t stride = 0;
  int64_t batch_strides[max_fft_batch_rank] = {};
  int64_t length = 0;
  bool is_complex = true;

  bool is_there() const { return base != 0; }
  // Reals of a number, and of an element of the batch.
  int64_t parts() const { return is_complex ? 2 : 1; }
  int64_t reals() const { return parts() * length; }
};

// result[k] = scale * result_factor[k] * sum over j of root^(j k) * source_factor[j] * source[j] for each element of
// the batch, with root = exp(-2 pi i / length). Of a source that is shorter the rest is zero; of a result that is
// shorter the rest is left out, and of one that is real the imaginary parts.
struct FftArguments {
  FftSignal result;
  FftSignal source;
  FftSignal source_factor;  // complex
  FftSignal result_factor;
  uint64_t table = 0;  // fft_table, in dtype
  int64_t length = 1;
  int64_t batch_shape[max_fft_batch_rank] = {};  // outermost first
  uint32_t batch_rank = 0;
  DType dtype = DType::F32;
  double scale = 1.0;
  bool conjugate = false;     // the conjugates of root and factors
  bool is_symmetric = false;  // source holds the first length / 2 + 1 of numbers that are conjugates of each other
};

}  // namespace mtia::kernels
