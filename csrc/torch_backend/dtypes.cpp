// The table of dtypes.
#include "torch_backend/dtypes.h"

#include "torch_backend/errors.h"

namespace mtia::torch_backend {

ChipDType chip_dtype(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::ScalarType::Bool:
      return {DType::I1};
    case c10::ScalarType::Char:
      return {DType::I8};
    case c10::ScalarType::Byte:
      return {DType::I8, true};
    case c10::ScalarType::Short:
      return {DType::I16};
    case c10::ScalarType::UInt16:
      return {DType::I16, true};
    case c10::ScalarType::Int:
      return {DType::I32};
    case c10::ScalarType::UInt32:
      return {DType::I32, true};
    case c10::ScalarType::Long:
      return {DType::I64};
    case c10::ScalarType::UInt64:
      return {DType::I64, true};
    case c10::ScalarType::Half:
      return {DType::F16};
    case c10::ScalarType::BFloat16:
      return {DType::BF16};
    case c10::ScalarType::Float:
      return {DType::F32};
    case c10::ScalarType::Double:
      return {DType::F64};
    case c10::ScalarType::Float8_e4m3fn:
      return {DType::F8E4M3};
    case c10::ScalarType::Float8_e5m2:
      return {DType::F8E5M2};
    default:
      throw_for_python(Unsupported(concat("the chip does not compute in ", c10::toString(dtype)), "",
                                   "convert to one of bool, int8 to int64, uint8, float16, bfloat16, float32, float64, "
                                   "float8_e4m3fn, float8_e5m2"));
  }
}

}  // namespace mtia::torch_backend
