// Roots of unity and what is made of them, in device memory.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mtia::torch_backend {

// Tables of real numbers are of the real dtype `dtype`, those of complex ones of its complex dtype.
struct FftTables {
  c10::ScalarType dtype;
  c10::Device device;

  // fft_table of the kernel's plan.
  at::Tensor plan(int64_t length) const;
  // [second, first]: root^(row column) of the length first * second, between the transforms of its two parts.
  at::Tensor turns(int64_t first, int64_t second) const;
  // exp(-i pi j^2 / length), j < length; and its conjugate.
  at::Tensor chirp(int64_t length, bool conjugate) const;
  // The transform of `padded` numbers that hold the conjugate chirp around 0: what a product with it convolves by.
  at::Tensor chirp_filter(int64_t length, int64_t padded) const;
};

}  // namespace mtia::torch_backend
