// Passes of the kernel gather_axes: two neighbouring dimensions at a time where that takes few taps without weights,
// else one, so that no sum is made twice.
#include "torch_backend/operators/gather_axes.h"

#include <ATen/OpMathType.h>
#include <ATen/ops/view_as_real.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <utility>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

constexpr int64_t most_taps_of_two = 9;

struct Axis {
  int64_t input = 1;
  int64_t output = 1;
  TapTable table{};  // undefined: the axis stays as it is
};

// A dense tensor as [outer, axes ..., inner].
struct Box {
  int64_t outer = 1;
  c10::SmallVector<Axis, 3> axes;
  int64_t inner = 1;
  bool is_weighted = false;
};

bool changes_nothing(const TapRule& rule) {
  if (rule.input != rule.output) return false;
  switch (rule.taps) {
    case Taps::reflection:
    case Taps::replication:
      return rule.before == 0;
    case Taps::nearest:
      return true;
    default:
      return false;
  }
}

void launch_pass(const at::Tensor& out, const at::Tensor& x, int64_t outer, const Axis& a, const Axis& b, int64_t inner,
                 bool weighted) {
  static const KernelId kernel("gather_axes");
  launch_kernel(kernel, {out, x, a.table.table, b.table.table},
                {outer, a.input, a.output, a.table.taps, b.input, b.output, b.table.taps, inner, weighted ? 1 : 0});
}

// The passes of dense tensors, from the last dimension on.
void run(const at::Tensor& out, const at::Tensor& x, Box box) {
  const c10::ScalarType dtype = x.scalar_type();
  const c10::ScalarType wide = at::toOpMathType(dtype);
  at::Tensor current = x;
  auto left = static_cast<size_t>(
      std::count_if(box.axes.begin(), box.axes.end(), [](const Axis& axis) { return axis.table.table.defined(); }));
  if (left == 0) {
    out.view({-1}).copy_(x.view({-1}));
    return;
  }
  for (size_t i = box.axes.size(); i-- > 0;) {
    if (!box.axes[i].table.table.defined()) continue;
    const bool two = i > 0 && !box.is_weighted && box.axes[i - 1].table.table.defined() &&
                     box.axes[i].table.taps * box.axes[i - 1].table.taps <= most_taps_of_two;
    const size_t first = two ? i - 1 : i;
    left -= two ? 2 : 1;
    int64_t outer = box.outer, inner = box.inner;
    for (size_t j = 0; j < first; ++j) outer *= box.axes[j].input;
    for (size_t j = i + 1; j < box.axes.size(); ++j) inner *= box.axes[j].output;
    const Axis a = two ? box.axes[first] : Axis{};
    const bool sums = box.is_weighted || a.table.taps > 1 || box.axes[i].table.taps > 1;
    at::Tensor next = out;
    if (left > 0)
      next = empty_device({outer * a.output * box.axes[i].output * inner}, sums ? wide : current.scalar_type(),
                          x.device());
    launch_pass(next, current, outer, a, box.axes[i], inner, box.is_weighted);
    current = next;
    if (left == 0) return;
    i = first;
  }
}

}  // namespace

void gather_axes(const at::Tensor& out, const at::Tensor& x, c10::ArrayRef<TapRule> rules) {
  if (out.numel() == 0) return;
  if (at::isComplexType(x.scalar_type())) {
    c10::SmallVector<TapRule, 4> with_parts(rules.begin(), rules.end());
    with_parts.push_back({.taps = Taps::nearest, .input = 2, .output = 2});
    gather_axes(at::view_as_real(out), at::view_as_real(x.resolve_conj()), with_parts);
    return;
  }
  const auto n_axes = static_cast<int64_t>(rules.size());
  auto format = at::MemoryFormat::Contiguous;
  if (!out.is_contiguous() && out.dim() == n_axes + 2) {
    for (const auto candidate : {at::MemoryFormat::ChannelsLast, at::MemoryFormat::ChannelsLast3d})
      if (out.is_contiguous(candidate)) format = candidate;
  }
  const at::Tensor source = x.contiguous(format);
  const bool is_dense = out.is_contiguous(format);
  const at::Tensor dense = is_dense ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  const bool channels_last = format != at::MemoryFormat::Contiguous;
  Box box;
  for (int64_t d = 0; d < x.dim() - n_axes; ++d) (channels_last && d == 1 ? box.inner : box.outer) *= x.size(d);
  for (const TapRule& rule : rules) {
    Axis axis{rule.transposed ? rule.output : rule.input, rule.transposed ? rule.input : rule.output, {}};
    if (!changes_nothing(rule)) axis.table = tap_table(rule, x.device().index());
    box.axes.push_back(axis);
    box.is_weighted = box.is_weighted || is_weighted(rule.taps);
  }
  const auto flat = [](const at::Tensor& tensor) { return tensor.as_strided({tensor.numel()}, {1}); };
  run(flat(dense), flat(source), std::move(box));
  if (!is_dense) out.copy_(dense);
}

}  // namespace mtia::torch_backend
