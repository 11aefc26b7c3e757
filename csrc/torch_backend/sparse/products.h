// sparse @ dense for every layout that can name the row and the column of its elements.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

namespace mtia::torch_backend {

struct SparseMatrix {
  at::Tensor rows, columns, values;
  c10::IntArrayRef sizes;
};

// out = beta * self + alpha * sparse @ dense, summed in float32 where the elements are 16-bit floats.
at::Tensor& sparse_product(const at::Tensor& self, const SparseMatrix& sparse, const at::Tensor& dense,
                           const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out);

}  // namespace mtia::torch_backend
