// torch's dtypes as the chip stores them.
#pragma once

#include <c10/core/ScalarType.h>

#include "base/dtype.h"

namespace mtia::torch_backend {

struct ChipDType {
  DType dtype;
  bool is_unsigned = false;
};

// Throws Unsupported for a dtype that the chip has no arithmetic for (complex, quantised, 4-bit).
ChipDType chip_dtype(c10::ScalarType dtype);

}  // namespace mtia::torch_backend
