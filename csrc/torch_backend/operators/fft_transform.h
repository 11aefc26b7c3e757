// Discrete Fourier transforms of any length along the last dimension, as launches of the kernel "fft".
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mtia::torch_backend {

struct FftTransform {
  int64_t length = 1;
  bool is_inverse = false;  // exp(+2 pi i ...), and the conjugates of the factors
  double scale = 1.0;
  bool is_symmetric = false;   // the source holds the first length / 2 + 1 of numbers that are conjugates of each other
  at::Tensor source_factor{};  // complex, of the last dimension or as the source; what the source is multiplied by
  at::Tensor result_factor{};
};

// result = the transform of the source, whose dimensions but the last are those of the result. A shorter source is
// zero behind its end, a shorter result is the beginning, a real one the real parts. They may be the same tensor.
void fft_transform(const at::Tensor& result, const at::Tensor& source, const FftTransform& transform);

}  // namespace mtia::torch_backend
