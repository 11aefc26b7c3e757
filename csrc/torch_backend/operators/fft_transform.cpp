// A length whose transform fits the local memory of a PE is one launch. A longer one is two transforms with a turn by
// roots of unity between them, through device memory (Bailey's four steps); one with a large prime factor is a
// convolution with a chirp (Bluestein), that is two transforms of a length with small factors.
#include "torch_backend/operators/fft_transform.h"

#include <ATen/ops/view_as_real.h>

#include <algorithm>
#include <numeric>
#include <vector>

#include "kernels/cpp/fft.h"
#include "kernels/cpp/fft_plan.h"
#include "runtime/runtime.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/fft_tables.h"

namespace mtia::torch_backend {
namespace {

struct BatchDimension {
  int64_t size;
  std::array<int64_t, 4> strides;  // of result, source and factors

  // Whether this and the next dimension are one, for all of them.
  bool continues(const BatchDimension& inner) const {
    for (size_t i = 0; i < strides.size(); ++i)
      if (strides[i] != inner.strides[i] * inner.size) return false;
    return true;
  }
};

// By falling stride of the result, and merged.
std::vector<BatchDimension> batch_of(const std::array<at::Tensor, 4>& signals) {
  std::vector<BatchDimension> dimensions;
  for (int64_t i = 0; i + 1 < signals[0].dim(); ++i) {
    if (signals[0].size(i) == 1) continue;
    BatchDimension dimension{signals[0].size(i), {}};
    for (size_t s = 0; s < signals.size(); ++s)
      if (signals[s].defined()) dimension.strides[s] = signals[s].stride(i);
    dimensions.push_back(dimension);
  }
  std::stable_sort(dimensions.begin(), dimensions.end(), [](const BatchDimension& a, const BatchDimension& b) {
    return a.strides[0] != b.strides[0] ? a.strides[0] > b.strides[0] : a.strides[1] > b.strides[1];
  });
  std::vector<BatchDimension> merged;
  for (const BatchDimension& inner : dimensions) {
    if (!merged.empty() && merged.back().continues(inner)) {
      merged.back() = {merged.back().size * inner.size, inner.strides};
    } else {
      merged.push_back(inner);
    }
  }
  return merged;
}

DType chip_dtype_of(const at::Tensor& signal) { return chip_dtype(c10::toRealValueType(signal.scalar_type())).dtype; }

FftTables tables_for(const at::Tensor& signal) { return {c10::toRealValueType(signal.scalar_type()), signal.device()}; }

at::Tensor expanded(const at::Tensor& factor, const at::Tensor& signal) {
  return factor.defined() ? factor.expand(signal.sizes()) : factor;
}

void launch(const at::Tensor& result, const at::Tensor& source, const FftTransform& transform) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("fft");
  const std::array<at::Tensor, 4> signals{result, source, expanded(transform.source_factor, source),
                                          expanded(transform.result_factor, result)};
  const std::vector<BatchDimension> batch = batch_of(signals);
  if (batch.size() > kernels::max_fft_batch_rank) {
    for (int64_t i = 0; i < result.size(0); ++i) {
      FftTransform part = transform;
      if (signals[2].defined()) part.source_factor = signals[2].select(0, i);
      if (signals[3].defined()) part.result_factor = signals[3].select(0, i);
      launch(result.select(0, i), source.select(0, i), part);
    }
    return;
  }
  const at::Tensor table = tables_for(result).plan(transform.length);
  kernels::FftArguments arguments;
  const std::array<kernels::FftSignal*, 4> places{&arguments.result, &arguments.source, &arguments.source_factor,
                                                  &arguments.result_factor};
  for (size_t s = 0; s < signals.size(); ++s) {
    if (!signals[s].defined()) continue;
    kernels::FftSignal& signal = *places[s];
    signal.base = s == 0 ? address_of(signals[s]) : address_to_read(signals[s]);
    signal.stride = signals[s].stride(-1);
    signal.length = signals[s].size(-1);
    signal.is_complex = signals[s].is_complex();
    for (size_t i = 0; i < batch.size(); ++i) signal.batch_strides[i] = batch[i].strides[s];
  }
  for (size_t i = 0; i < batch.size(); ++i) arguments.batch_shape[i] = batch[i].size;
  arguments.batch_rank = static_cast<uint32_t>(batch.size());
  arguments.table = address_to_read(table);
  arguments.length = transform.length;
  arguments.dtype = chip_dtype_of(result);
  arguments.scale = transform.scale;
  arguments.conjugate = transform.is_inverse;
  arguments.is_symmetric = transform.is_symmetric;
  launch_cpp_kernel(kernel, result.device().index(), arguments,
                    {signals[0], signals[1], signals[2], signals[3], table});
}

at::Tensor complex_workspace(const at::Tensor& like, int64_t length) {
  c10::SmallVector<int64_t, 8> sizes(like.sizes().begin(), like.sizes().end());
  sizes.back() = length;
  return empty_device(sizes, c10::toComplexType(c10::toRealValueType(like.scalar_type())), like.device());
}

at::Tensor padded(const at::Tensor& signal, int64_t length) {
  if (!signal.defined() || signal.size(-1) == length) return signal;
  at::Tensor whole = complex_workspace(signal, length);
  const int64_t given = signal.size(-1);
  at::view_as_real(whole.narrow(-1, given, length - given)).zero_();
  whole.narrow(-1, 0, given).copy_(signal);
  return whole;
}

// What has the same real parts when it is transformed as the whole of a symmetric signal: twice the numbers whose
// conjugates are left out.
at::Tensor doubled(const at::Tensor& source, int64_t length) {
  const at::Tensor half = complex_workspace(source, source.size(-1));
  half.copy_(source);
  at::view_as_real(half.narrow(-1, 1, (length - 1) / 2)).mul_(2);
  return half;
}

// The last dimension as [rows, columns] of which the columns come to stand last.
at::Tensor columns_of(const at::Tensor& signal, int64_t rows, int64_t columns) {
  return signal.defined() ? signal.unflatten(-1, {rows, columns}).transpose(-1, -2) : signal;
}

void four_steps(const at::Tensor& result, const at::Tensor& source, const FftTransform& transform) {
  const int64_t length = transform.length;
  if (result.size(-1) != length) {
    const at::Tensor whole = complex_workspace(result, length);
    FftTransform all = transform;
    all.result_factor = padded(transform.result_factor, length);
    four_steps(whole, source, all);
    const at::Tensor beginning = whole.narrow(-1, 0, result.size(-1));
    result.copy_(result.is_complex() ? beginning : at::view_as_real(beginning).select(-1, 0));
    return;
  }
  const DType dtype = chip_dtype_of(result);
  auto [first, second] = kernels::split_evenly(length);
  while (length % first != 0 || !kernels::fits_local_memory(runtime::chip(), dtype, first, 2)) --first;
  second = length / first;
  const at::Tensor whole = padded(source, length);
  const at::Tensor between = complex_workspace(whole, length).unflatten(-1, {first, second});
  fft_transform(between.transpose(-1, -2), columns_of(whole, first, second),
                {.length = first,
                 .is_inverse = transform.is_inverse,
                 .source_factor = columns_of(padded(transform.source_factor, length), first, second),
                 .result_factor = tables_for(result).turns(first, second)});
  fft_transform(columns_of(result, second, first), between,
                {.length = second,
                 .is_inverse = transform.is_inverse,
                 .scale = transform.scale,
                 .result_factor = columns_of(transform.result_factor, second, first)});
}

// The least length with small factors that holds all of a convolution.
int64_t convolution_length(int64_t length) {
  int64_t best = 0;
  for (const int64_t odd : {1, 3, 5, 9, 15}) {
    int64_t candidate = odd;
    while (candidate < 2 * length - 1) candidate *= 2;
    if (best == 0 || candidate < best) best = candidate;
  }
  return best;
}

// j k = (j^2 + k^2 - (k - j)^2) / 2. The second transform goes the other way, so that its factor is a conjugate.
void chirped(const at::Tensor& result, const at::Tensor& source, const FftTransform& transform) {
  const FftTables tables = tables_for(result);
  const int64_t length = convolution_length(transform.length);
  const at::Tensor between = complex_workspace(source, length);
  fft_transform(between, source,
                {.length = length,
                 .is_inverse = transform.is_inverse,
                 .source_factor = tables.chirp(transform.length, false).narrow(0, 0, source.size(-1)),
                 .result_factor = tables.chirp_filter(transform.length, length)});
  fft_transform(result, between,
                {.length = length,
                 .is_inverse = !transform.is_inverse,
                 .scale = transform.scale / static_cast<double>(length),
                 .result_factor = tables.chirp(transform.length, true).narrow(0, 0, result.size(-1))});
}

}  // namespace

void fft_transform(const at::Tensor& result, const at::Tensor& source, const FftTransform& transform) {
  if (result.numel() == 0) return;
  const int64_t factors = (transform.source_factor.defined() ? 1 : 0) + (transform.result_factor.defined() ? 1 : 0);
  const bool has_radices = kernels::has_radices(transform.length);
  if (has_radices && kernels::fits_local_memory(runtime::chip(), chip_dtype_of(result), transform.length, factors))
    return launch(result, source, transform);
  if (transform.is_symmetric) {
    FftTransform all = transform;
    all.is_symmetric = false;
    return fft_transform(result, doubled(source, transform.length), all);
  }
  // A length with a large prime that comes with factors is a part of none of ours.
  if (has_radices) return four_steps(result, source, transform);
  chirped(result, source, transform);
}

}  // namespace mtia::torch_backend
