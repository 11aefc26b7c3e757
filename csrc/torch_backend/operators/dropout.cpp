// Dropout: the mask is drawn and applied in one kernel (the backward is a row of the element-wise table).
#include <torch/library.h>

#include "torch_backend/generator.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

std::tuple<at::Tensor, at::Tensor> dropout(const at::Tensor& input, double p, std::optional<bool> train) {
  static const KernelId kernel("dropout_forward");
  TORCH_CHECK(p >= 0 && p <= 1, "dropout probability has to be between 0 and 1, but got ", p);
  const at::Tensor x = input.contiguous();
  const at::Tensor mask = empty_device(x.sizes(), c10::kBool, x.device());
  if (!train.value_or(true) || p == 0) return {input.clone(), mask.fill_(true)};
  const at::Tensor out = empty_device(x.sizes(), x.scalar_type(), x.device());
  TORCH_CHECK(at::isFloatingType(x.scalar_type()) || at::isComplexType(x.scalar_type()),
              "native_dropout: result type Float can't be cast to the desired output type ", x.scalar_type(),
              "; convert to a floating dtype first");
  if (x.numel() == 0) return {out, mask};
  if (p == 1) return {out.fill_(0), mask.fill_(false)};
  const uint64_t counters = (static_cast<uint64_t>(x.numel()) + 2047) / 2048 * 512;
  const PhiloxState philox = reserve_philox(std::nullopt, x.device().index(), counters);
  launch_kernel(kernel, {out, mask, x}, {x.numel()}, {p, 1.0 / (1.0 - p), philox.seed, philox.offset});
  return {out, mask};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) { library.impl("native_dropout", mtia::torch_backend::dropout); }
