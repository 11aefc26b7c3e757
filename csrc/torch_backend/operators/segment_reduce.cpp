// Reductions of neighbouring elements along an axis, by lengths or offsets, with their gradient.
#include <ATen/ops/_assert_async.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/where.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <cmath>
#include <limits>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

// By their places in MODES of kernels/triton/bags.py.
enum class Reduction : int64_t { sum, mean, max, min, prod };

Reduction reduction_of(c10::string_view name) {
  if (name == "sum") return Reduction::sum;
  if (name == "mean") return Reduction::mean;
  if (name == "max") return Reduction::max;
  if (name == "min") return Reduction::min;
  if (name == "prod") return Reduction::prod;
  TORCH_CHECK(false, "reduce argument must be either sum, prod, mean, max or min, got ", name);
}

double initial_of(Reduction reduction, const std::optional<at::Scalar>& initial) {
  if (initial.has_value()) return initial->toDouble();
  switch (reduction) {
    case Reduction::max:
      return -std::numeric_limits<double>::infinity();
    case Reduction::min:
      return std::numeric_limits<double>::infinity();
    case Reduction::prod:
      return 1;
    default:
      return 0;
  }
}

// The data as [lists, items, inner], and where the segments of each list begin and end.
struct Segments {
  int64_t lists = 1;
  int64_t items = 1;
  int64_t inner = 1;
  int64_t count = 0;   // a list
  at::Tensor offsets;  // int64 [lists, count + 1]
  c10::SmallVector<int64_t, 8> result_sizes;
};

Segments segments_of(const at::Tensor& data, const std::optional<at::Tensor>& lengths,
                     const std::optional<at::Tensor>& offsets, int64_t axis) {
  const bool by_offsets = offsets.has_value() && offsets->defined();
  TORCH_CHECK(by_offsets || (lengths.has_value() && lengths->defined()),
              "segment_reduce(): Either lengths or offsets must be defined.");
  const at::Tensor& given = by_offsets ? *offsets : *lengths;
  TORCH_CHECK(given.device() == data.device(), "segment_reduce(): Expected data and ",
              by_offsets ? "offsets" : "lengths", " to be on the same device");
  TORCH_CHECK(given.scalar_type() == c10::kInt || given.scalar_type() == c10::kLong, "segment_reduce(): Expected ",
              by_offsets ? "offsets" : "lengths", " to be int32 or int64, but got ", given.scalar_type());
  TORCH_CHECK(data.dim() >= given.dim() && given.dim() == axis + 1,
              "segment_reduce(): Expected axis to be the last dimension of ", by_offsets ? "offsets" : "lengths",
              ", but got axis ", axis, " and sizes ", given.sizes());
  Segments segments;
  segments.items = data.size(axis);
  for (int64_t d = 0; d < data.dim(); ++d) {
    TORCH_CHECK(d >= axis || given.size(d) == data.size(d), "segment_reduce(): Expected all dimensions of ",
                by_offsets ? "offsets" : "lengths", " but the last to be those of data, but got ", given.sizes(),
                " and ", data.sizes());
    if (d != axis) (d < axis ? segments.lists : segments.inner) *= data.size(d);
  }
  segments.count = given.size(axis) - (by_offsets ? 1 : 0);
  segments.result_sizes.assign(data.sizes().begin(), data.sizes().end());
  segments.result_sizes[static_cast<size_t>(axis)] = segments.count;
  const at::Tensor wide = given.to(c10::kLong);
  segments.offsets =
      by_offsets ? wide : at::constant_pad_nd(wide.cumsum(-1), {1, 0});  // their last dimension is `axis`
  segments.offsets = segments.offsets.contiguous().view({segments.lists, segments.count + 1});
  return segments;
}

// A dense [lists, items, inner] reduced to [lists, count, inner]; sizes, where defined, gets how many each is made of.
at::Tensor reduced(Reduction reduction, const at::Tensor& data, const Segments& segments, double initial,
                   const at::Tensor& sizes = {}) {
  static const KernelId kernel("reduce_bags");
  const at::Tensor out =
      empty_device({segments.lists, segments.count, segments.inner}, data.scalar_type(), data.device());
  if (out.numel() == 0) return out;
  const at::Tensor none;
  launch_kernel(kernel, {out, data, none, none, segments.offsets, sizes, none, none},
                {static_cast<int64_t>(reduction), segments.lists * segments.count, segments.count, segments.count + 1,
                 segments.items, segments.lists * segments.items, segments.inner, segments.inner},
                {initial, int64_t{-1}});
  return out;
}

at::Tensor segment_reduce(const at::Tensor& data, c10::string_view reduce, const std::optional<at::Tensor>& lengths,
                          const std::optional<at::Tensor>& indices, const std::optional<at::Tensor>& offsets,
                          int64_t given_axis, bool unsafe, const std::optional<at::Scalar>& initial) {
  if (offsets.has_value() && offsets->defined() && offsets->size(-1) > 1)
    at::_assert_async(offsets->diff().ge(0).all(), "segment_reduce(): offsets must not decrease");
  const OperatorScope scope("segment_reduce");
  const int64_t axis = at::maybe_wrap_dim(given_axis, data.dim());
  TORCH_CHECK(!(indices.has_value() && indices->defined()),
              "segment_reduce(): indices based reduction is not supported yet.");
  check_implemented(c10::isFloatingType(data.scalar_type()), "_segment_reduce_cpu", data.scalar_type());
  const Reduction reduction = reduction_of(reduce);
  const Segments segments = segments_of(data, lengths, offsets, axis);
  if (!unsafe && lengths.has_value() && lengths->defined()) {
    const at::Tensor wrong = at::stack({lengths->lt(0).any(), lengths->sum({-1}).ne(segments.items).any()}).cpu();
    TORCH_CHECK(!wrong[0].item().toBool(), "lengths contains negative value!");
    TORCH_CHECK(
        !wrong[1].item().toBool(),
        "segment_reduce(): Expected all rows of lengths along axis to sum to data.size(lengths.dim()-1) when !unsafe.");
  }
  const bool empty_is_nan = reduction == Reduction::mean && !initial.has_value();
  const at::Tensor sizes =
      empty_is_nan ? empty_device({segments.lists, segments.count, 1}, c10::kLong, data.device()) : at::Tensor();
  at::Tensor out = reduced(reduction, data.contiguous(), segments, initial_of(reduction, initial), sizes);
  if (empty_is_nan && out.numel() > 0) out = at::where(sizes.eq(0), std::nan(""), out);
  return out.view(segments.result_sizes);
}

at::Tensor segment_reduce_backward(const at::Tensor& grad, const at::Tensor& output, const at::Tensor& data,
                                   c10::string_view reduce, const std::optional<at::Tensor>& lengths,
                                   const std::optional<at::Tensor>& offsets, int64_t given_axis,
                                   const std::optional<at::Scalar>& initial) {
  const OperatorScope scope("_segment_reduce_backward");
  const int64_t axis = at::maybe_wrap_dim(given_axis, data.dim());
  const Reduction reduction = reduction_of(reduce);
  Segments segments = segments_of(data, lengths, offsets, axis);
  if (segments.count == 0) return at::zeros(data.sizes(), data.options());
  const auto as_rows = [&](const at::Tensor& tensor) { return tensor.contiguous().view({-1, segments.inner}); };
  const at::Tensor first = at::arange(segments.lists, segments.offsets.options()).mul_(segments.items).unsqueeze(1);
  const at::Tensor bounds = segments.offsets.add(first);
  const at::Tensor begins = bounds.narrow(1, 0, segments.count).reshape({-1});
  const at::Tensor ends = bounds.narrow(1, 1, segments.count).reshape({-1});
  const at::Tensor item = at::arange(segments.lists * segments.items, segments.offsets.options());
  const at::Tensor segment = at::searchsorted(begins, item, false, true).sub_(1).clamp_min_(0);
  const auto of_items = [&](const at::Tensor& rows) { return rows.index_select(0, segment); };
  const at::Tensor covered = item.ge(of_items(begins)).logical_and_(item.lt(of_items(ends))).unsqueeze(1);
  const at::Tensor given = of_items(as_rows(grad)), value = as_rows(data);
  at::Tensor result;
  switch (reduction) {
    case Reduction::sum:
      result = given;
      break;
    case Reduction::mean:
      result = given.div(of_items(ends.sub(begins)).clamp_min(1).to(given.scalar_type()).unsqueeze(1));
      break;
    case Reduction::max:
    case Reduction::min: {
      const at::Tensor is_it = value.eq(of_items(as_rows(output))).logical_or_(value.ne(value));
      const at::Tensor flags = is_it.to(data.scalar_type()).view({segments.lists, segments.items, segments.inner});
      const at::Tensor counts = reduced(Reduction::sum, flags, segments, 0).view({-1, segments.inner});
      result = at::where(is_it, given.div(of_items(counts)), 0.0);
      break;
    }
    case Reduction::prod: {
      // What is 0 or NaN cannot be divided out: the product of the others is taken without it.
      const at::Tensor is_odd = value.eq(0).logical_or_(value.ne(value));
      const at::Tensor others = at::where(is_odd, 1.0, value).view({segments.lists, segments.items, segments.inner});
      const at::Tensor flags = is_odd.to(data.scalar_type()).view(others.sizes());
      const at::Tensor odd = of_items(reduced(Reduction::sum, flags, segments, 0).view({-1, segments.inner}));
      const at::Tensor without = of_items(
          reduced(Reduction::prod, others, segments, initial_of(reduction, initial)).view({-1, segments.inner}));
      const at::Tensor product = of_items(as_rows(output));
      result = given.mul(at::where(is_odd, at::where(odd.eq(1), without, product), product.div(value)));
      break;
    }
  }
  return at::where(covered, result, 0.0).view(data.sizes());
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("segment_reduce", mtia::torch_backend::segment_reduce);
  library.impl("_segment_reduce_backward", mtia::torch_backend::segment_reduce_backward);
}
