// What torch asks of a tensor that is given to be written, for operators written by hand: structured operators and the
// rows of the element-wise table have dtype and device from torch's meta functions and iterators.
#pragma once

#include <ATen/MemoryOverlap.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>
#include <c10/core/ScalarTypeToTypeMeta.h>

#include <initializer_list>

#include "torch_backend/same_device.h"

namespace mtia::torch_backend {

inline void check_output(const char* operation, const at::Tensor& out, c10::ScalarType dtype, c10::Device device) {
  check_same_device(operation, device, out);
  TORCH_CHECK(out.scalar_type() == dtype, operation, ": Expected out tensor to have dtype ", dtype, ", but got ",
              out.scalar_type(), " instead");
}

// Of operators that convert their result to the output's dtype.
inline void check_convertible(const char* operation, const at::Tensor& out, c10::ScalarType result,
                              c10::Device device) {
  check_same_device(operation, device, out);
  TORCH_CHECK(c10::canCast(result, out.scalar_type()), operation, ": result type ", result,
              " can't be cast to the desired output type ", out.scalar_type());
}

// An output may be one of the operands, but not overlap one in part.
inline void check_separate(const at::Tensor& out, std::initializer_list<at::Tensor> operands) {
  at::assert_no_internal_overlap(out);
  for (const at::Tensor& operand : operands) at::assert_no_partial_overlap(out, operand);
}

// Nor be one of them, where the operator reads what it has written.
inline void check_apart(const at::Tensor& out, std::initializer_list<at::Tensor> operands) {
  at::assert_no_internal_overlap(out);
  for (const at::Tensor& operand : operands) at::assert_no_overlap(out, operand);
}

// The result in the output that the caller gave, which has its checks behind it.
inline at::Tensor& write_output(at::Tensor& out, const at::Tensor& result) {
  at::native::resize_output(out, result.sizes());
  return out.copy_(result);
}

}  // namespace mtia::torch_backend
