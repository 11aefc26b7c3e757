// Elements as 64-bit numbers, combined by exclusive or: a check of equal contents.
#include <ATen/ops/hash_tensor_meta.h>
#include <torch/library.h>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/geometry.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

at::Tensor& hash_tensor_out(const at::Tensor& self, c10::IntArrayRef dim, bool keepdim, int64_t mode, at::Tensor& out) {
  const OperatorScope scope("hash_tensor");
  static const KernelId kernel("xor_rows");
  WithOutputs<at::meta::structured_hash_tensor> call(out);
  call.meta(self, dim, keepdim, mode);
  const at::Tensor& result = call.output();
  if (self.numel() == 0) {
    result.zero_();
  } else {
    const c10::SmallVector<bool, 8> is_reduced = dimension_mask(dim, self.dim());
    c10::DimVector order;
    int64_t rows = 1;
    for (const bool last : {false, true}) {
      for (int64_t d = 0; d < self.dim(); ++d) {
        if (is_reduced[static_cast<size_t>(d)] != last) continue;
        order.push_back(d);
        if (!last) rows *= self.size(d);
      }
    }
    // Floats by their bits in float64, integers with their sign.
    const at::Tensor wide = self.permute(order).to(self.is_floating_point() ? c10::kDouble : c10::kLong).contiguous();
    const at::Tensor hashes = empty_device({rows}, c10::kUInt64, self.device());
    launch_kernel(kernel, {hashes, wide}, {rows, self.numel() / rows});
    result.copy_(hashes.view(result.sizes()));
  }
  call.finish();
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  library.impl("hash_tensor.out", mtia::torch_backend::hash_tensor_out);
}
