// Joining and rearranging tensors: each is a copy into a part of the result.
#include <ATen/WrapDimUtils.h>
#include <ATen/ops/cat.h>
#include <ATen/ops/cat_meta.h>
#include <torch/library.h>

#include <optional>

#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/structured.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

// torch.cat has always skipped empty vectors, whatever the rank of the others.
bool is_skipped(const at::Tensor& tensor) { return tensor.dim() == 1 && tensor.size(0) == 0; }

at::Tensor& cat_out(const at::ITensorListRef& tensors, int64_t dim, at::Tensor& out) {
  std::optional<c10::Device> device;
  for (const at::Tensor& tensor : tensors) {
    if (!device) device = tensor.device();
    check_same_device("cat", *device, tensor);
  }
  if (out.defined() && device) check_same_device("cat", *device, out);
  // Before it is resized, which may part them.
  for (const at::Tensor& tensor : tensors) {
    TORCH_CHECK(!out.is_same(tensor),
                "unsupported operation: cat: an input and the written-to tensor refer to a single memory location");
    check_apart(out, {tensor});
  }
  WithOutputs<at::meta::structured_cat> call(out);
  const auto precomputed = call.meta(tensors, dim);
  const at::Tensor& result = call.output();
  int64_t begin = 0;
  for (const at::Tensor& tensor : tensors) {
    if (is_skipped(tensor)) continue;
    const int64_t length = tensor.size(precomputed.dim);
    if (tensor.numel() != 0) result.narrow(precomputed.dim, begin, length).copy_(tensor);
    begin += length;
  }
  call.finish();
  return out;
}

at::Tensor& narrow_copy_out(const at::Tensor& self, int64_t dim, int64_t start, int64_t length, at::Tensor& out) {
  TORCH_CHECK(self.dim() > 0, "narrow() cannot be applied to a 0-dim tensor.");
  check_output("narrow_copy", out, self.scalar_type(), self.device());
  return write_output(out, self.narrow(dim, start, length));
}

at::Tensor roll(const at::Tensor& self, c10::IntArrayRef shifts, c10::IntArrayRef dims) {
  if (self.numel() == 0) return self.clone();
  if (dims.empty() && shifts.size() == 1) {
    const std::array<int64_t, 1> first{0};
    return torch_backend::roll(self.reshape({-1}), shifts, first).view(self.sizes());
  }
  TORCH_CHECK(!shifts.empty() && shifts.size() == dims.size(),
              "roll: shifts and dimensions must align. shifts: ", shifts.size(), ", dims:", dims.size());
  at::Tensor result = self;
  for (size_t i = 0; i < dims.size(); ++i) {
    const int64_t axis = at::maybe_wrap_dim(dims[i], self.dim());
    const int64_t length = self.size(axis);
    const int64_t start = ((length - shifts[i]) % length + length) % length;
    if (start != 0) result = at::cat({result.narrow(axis, start, length - start), result.narrow(axis, 0, start)}, axis);
  }
  return result.is_same(self) ? self.clone() : result;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("cat.out", cat_out);
  library.impl("narrow_copy.out", narrow_copy_out);
  library.impl("roll", roll);
}
