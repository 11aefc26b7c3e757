// masked_fill with a tensor as its value. With a number it is a row of the element-wise table.
#include <ATen/ops/masked_fill.h>
#include <torch/library.h>

#include "torch_backend/operators/elementwise.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

// Whether a value of one dtype is a value of the other whatever it is, but for rounding.
bool holds_all(c10::ScalarType dtype, c10::ScalarType value) {
  if (c10::isComplexType(dtype) || c10::isComplexType(value) || c10::isBarebonesUnsignedType(dtype)) return false;
  const bool half_overflows = dtype == c10::kHalf && c10::isIntegralType(value, /*includeBool=*/false);
  return !half_overflows && c10::promoteTypes(dtype, value) == dtype;
}

// The number that a tensor is to be read as: one on the host, or one that the dtype may refuse as a number, which must
// be known to say so. This waits for the device, as on CUDA.
bool is_read(const at::Tensor& self, const at::Tensor& value) {
  return value.is_cpu() || !holds_all(self.scalar_type(), value.scalar_type());
}

void check_operands(const at::Tensor& self, const at::Tensor& mask, const at::Tensor& value) {
  TORCH_CHECK(value.dim() == 0, "masked_fill_ only supports a 0-dimensional value tensor, but got tensor with ",
              value.dim(), " dimension(s).");
  TORCH_CHECK(mask.scalar_type() == c10::kBool, "masked_fill_ only supports boolean masks, but got mask with dtype ",
              mask.scalar_type());
  if (!value.is_cpu()) check_same_device("masked_fill", self.device(), value);
}

at::Tensor filled(const at::Tensor& out, const at::Tensor& self, const at::Tensor& mask, const at::Tensor& value) {
  static const KernelId kernel("elementwise.masked_fill");
  const c10::ScalarType dtype = self.scalar_type();
  return elementwise(kernel, out, {self, mask, value}, dtype, dtype);
}

at::Tensor masked_fill_tensor(const at::Tensor& self, const at::Tensor& mask, const at::Tensor& value) {
  check_operands(self, mask, value);
  return is_read(self, value) ? self.masked_fill(mask, value.item()) : filled(at::Tensor(), self, mask, value);
}

at::Tensor& masked_fill_tensor_(at::Tensor& self, const at::Tensor& mask, const at::Tensor& value) {
  check_operands(self, mask, value);
  if (is_read(self, value)) return self.masked_fill_(mask, value.item());
  filled(self, self, mask, value);
  return self;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("masked_fill.Tensor", masked_fill_tensor);
  library.impl("masked_fill_.Tensor", masked_fill_tensor_);
}
