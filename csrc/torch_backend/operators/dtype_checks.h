// torch's refusal of dtypes that an operator has no CPU kernel for. Rows of the element-wise table have theirs from
// type_rules.h; this is for operators written by hand.
#pragma once

#include <c10/core/ScalarType.h>
#include <c10/util/Exception.h>

namespace mtia::torch_backend {

inline void check_implemented(bool implemented, const char* operation, c10::ScalarType dtype) {
  TORCH_CHECK_NOT_IMPLEMENTED(implemented, "\"", operation, "\" not implemented for '", dtype,
                              "'; mtia_sim takes the dtypes that CPU torch takes: convert first");
}

inline void check_floating(const char* operation, c10::ScalarType dtype) {
  check_implemented(c10::isFloatingType(dtype) || c10::isComplexType(dtype), operation, dtype);
}

// Any number but bool and the unsigned integers that torch only stores.
inline void check_numeric(const char* operation, c10::ScalarType dtype) {
  check_implemented(dtype != c10::kBool && !c10::isBarebonesUnsignedType(dtype), operation, dtype);
}

}  // namespace mtia::torch_backend
