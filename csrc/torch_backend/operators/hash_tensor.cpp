// Elements as 64-bit numbers, combined by exclusive or: a check of equal contents.
#include <ATen/ops/hash_tensor_meta.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

at::Tensor& hash_tensor_out(const at::Tensor& self, c10::IntArrayRef dim, bool keepdim, int64_t mode, at::Tensor& out) {
  const OperatorScope scope("hash_tensor");
  static const KernelId kernel("reduce.xor");
  TORCH_CHECK(mode == 0, "Unknown hash_tensor mode: ", mode, "; mode 0 is the only one");
  WithOutputs<at::meta::structured_hash_tensor> call(out);
  call.meta(self, dim, keepdim, mode);
  const c10::ScalarType dtype = self.scalar_type();
  check_implemented(!self.is_complex() && !c10::isFloat8Type(dtype) && !c10::isBarebonesUnsignedType(dtype),
                    "xor_sum_cpu", dtype);
  const at::Tensor& result = call.output();
  if (self.numel() == 0) {
    result.zero_();
  } else {
    // Floats by their bits in float64, integers with their sign.
    const at::Tensor words = self.is_floating_point() ? self.to(c10::kDouble).view(c10::kLong) : self.to(c10::kLong);
    const ReductionView view = reduction_view(words, dimension_mask(dim, self.dim()));
    const at::Tensor hashes = empty_device(result.sizes(), c10::kLong, self.device());
    launch_kernel(kernel, {hashes, view.storage}, view.sizes);
    result.copy_(hashes.view(c10::kUInt64));
  }
  call.finish();
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("hash_tensor.out", mtia::torch_backend::hash_tensor_out);
}
