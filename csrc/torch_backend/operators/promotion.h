// Type promotion of an operator's operands, as torch.result_type defines it: tensors with dimensions outrank 0-dim
// tensors, these outrank Python numbers, and a lower rank changes the result only when its category (bool, integer,
// float) is higher.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>

namespace mtia::torch_backend {

class Promotion {
 public:
  void add(const at::Tensor& tensor) {
    if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) {
      merge(numbers_, of_number(tensor.scalar_type()));
    } else {
      merge(tensor.dim() > 0 ? tensors_ : zero_dim_, tensor.scalar_type());
    }
  }
  void add(const c10::Scalar& number) { merge(numbers_, of_number(number.type())); }

  // Undefined where nothing was added.
  c10::ScalarType result() const { return combine(tensors_, combine(zero_dim_, numbers_)); }

 private:
  static c10::ScalarType of_number(c10::ScalarType dtype) {
    if (c10::isComplexType(dtype)) return c10::toComplexType(c10::get_default_dtype_as_scalartype());
    return c10::isFloatingType(dtype) ? c10::get_default_dtype_as_scalartype() : dtype;
  }

  static void merge(c10::ScalarType& rank, c10::ScalarType dtype) { rank = promote(rank, dtype); }

  static c10::ScalarType promote(c10::ScalarType a, c10::ScalarType b) {
    if (a == b || b == c10::ScalarType::Undefined) return a;
    return a == c10::ScalarType::Undefined ? b : c10::promoteTypes(a, b);
  }

  static c10::ScalarType combine(c10::ScalarType higher, c10::ScalarType lower) {
    if (c10::isComplexType(higher)) return higher;
    if (c10::isFloatingType(higher)) return c10::isComplexType(lower) ? c10::toComplexType(higher) : higher;
    if (higher == c10::kBool || c10::isFloatingType(lower) || c10::isComplexType(lower)) return promote(higher, lower);
    return higher != c10::ScalarType::Undefined ? higher : lower;
  }

  c10::ScalarType tensors_ = c10::ScalarType::Undefined;
  c10::ScalarType zero_dim_ = c10::ScalarType::Undefined;
  c10::ScalarType numbers_ = c10::ScalarType::Undefined;
};

}  // namespace mtia::torch_backend
