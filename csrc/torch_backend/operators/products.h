// Products of matrices of any dtype that the device multiplies: floats on the dot product engine as they are, integers
// by their digits, complex numbers as real matrices of twice the size.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Scalar.h>

namespace mtia::torch_backend {

// out = alpha * a b + beta * addend for tensors of rank 2, or 3 with a batch; all of one device, a and b of one dtype.
// `addend` is undefined or of out's sizes (by strides of 0), and not read where beta is 0. Conjugate and negative views
// are taken as they are meant. `name` is the operator in messages. Integers wrap around; the
// fractions of their alpha and beta are dropped, and what is left must be a number that the dtype holds. Raises
// NotImplementedError for dtypes without products (bool, uint16 ...).
void matrix_product(const char* name, const at::Tensor& out, const at::Tensor& a, const at::Tensor& b,
                    const at::Tensor& addend, const at::Scalar& beta, const at::Scalar& alpha);

}  // namespace mtia::torch_backend
