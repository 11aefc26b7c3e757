// Copies on one device: plain DMA, or the copy kernel with both tensors' strides.
#include <ATen/MemoryOverlap.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zero.h>
#include <c10/util/SmallVector.h>

#include <algorithm>
#include <utility>

#include "kernels/cpp/strided_copy.h"
#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/launch_notes.h"
#include "torch_backend/memory/address.h"
#include "torch_backend/memory/copy.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

struct Dimension {
  int64_t size;
  int64_t destination_stride;
  int64_t source_stride;
};
using Dimensions = c10::SmallVector<Dimension, 8>;

// Outermost first by the destination's strides, without dimensions of size 1, neighbours merged where both tensors
// allow it.
Dimensions merged_dimensions(const at::Tensor& destination, const at::Tensor& source) {
  Dimensions all;
  for (int64_t dim = 0; dim < destination.dim(); ++dim) {
    if (destination.size(dim) != 1) all.push_back({destination.size(dim), destination.stride(dim), source.stride(dim)});
  }
  std::stable_sort(all.begin(), all.end(),
                   [](const Dimension& a, const Dimension& b) { return a.destination_stride > b.destination_stride; });
  Dimensions merged;
  for (const Dimension& inner : all) {
    if (!merged.empty()) {
      Dimension& outer = merged.back();
      if (outer.destination_stride == inner.size * inner.destination_stride &&
          outer.source_stride == inner.size * inner.source_stride) {
        outer = {outer.size * inner.size, inner.destination_stride, inner.source_stride};
        continue;
      }
    }
    merged.push_back(inner);
  }
  return merged;
}

template <typename Arguments>
void launch_copy(const emulator::CppKernel& kernel, const at::Tensor& destination, const at::Tensor& source,
                 const Dimensions& dimensions) {
  const ChipDType destination_dtype = chip_dtype(destination.scalar_type());
  const ChipDType source_dtype = chip_dtype(source.scalar_type());
  Arguments arguments;
  arguments.destination = address_of(destination);
  arguments.source = address_to_read(source);
  arguments.rank = static_cast<uint32_t>(dimensions.size());
  arguments.destination_dtype = destination_dtype.dtype;
  arguments.source_dtype = source_dtype.dtype;
  arguments.destination_is_unsigned = destination_dtype.is_unsigned;
  arguments.source_is_unsigned = source_dtype.is_unsigned;
  for (size_t i = 0; i < dimensions.size(); ++i) {
    arguments.shape[i] = dimensions[i].size;
    arguments.destination_strides[i] = dimensions[i].destination_stride;
    arguments.source_strides[i] = dimensions[i].source_stride;
  }
  const c10::DeviceIndex index = destination.device().index();
  emulator::Launch launch;
  launch.kernel = &kernel;
  launch.grid = {0, 1, 1};
  launch.set_arguments(arguments);
  launch.extents = {extent_of(destination), extent_of(source)};
  if (runtime::is_checking())
    set_notes(launch, true, std::pair("destination", destination), std::pair("source", source));
  submit_launch(index, current_stream_id(index), std::move(launch));
}

void launch_copy(const at::Tensor& destination, const at::Tensor& source, const Dimensions& dimensions) {
  TORCH_CHECK(dimensions.size() <= kernels::widest_rank, "only tensors with up to ", kernels::widest_rank,
              " dims are supported, got ", dimensions.size(), " that do not merge");
  surfacing_errors([&] {
    static const emulator::CppKernel& kernel = emulator::cpp_kernel("strided_copy");
    static const emulator::CppKernel& wide_kernel = emulator::cpp_kernel("strided_copy_wide");
    if (dimensions.size() <= kernels::max_rank)
      return launch_copy<kernels::StridedCopyArguments>(kernel, destination, source, dimensions);
    launch_copy<kernels::WideStridedCopyArguments>(wide_kernel, destination, source, dimensions);
  });
}

void copy_complex(const at::Tensor& destination, const at::Tensor& source) {
  if (!source.is_complex()) {
    const at::Tensor parts = at::view_as_real(destination);
    copy_on_device(parts.select(-1, 0), source);
    parts.select(-1, 1).zero_();
  } else if (!destination.is_complex()) {
    TORCH_WARN_ONCE("copying a complex tensor into a real one discards the imaginary part");
    copy_on_device(destination, at::view_as_real(source).select(-1, 0));
  } else {
    copy_on_device(at::view_as_real(destination), at::view_as_real(source));
  }
}

}  // namespace

bool have_same_dense_layout(const at::Tensor& a, const at::Tensor& b) {
  if (a.sizes() != b.sizes() || !a.is_non_overlapping_and_dense()) return false;
  for (int64_t dim = 0; dim < a.dim(); ++dim) {
    if (a.size(dim) != 1 && a.stride(dim) != b.stride(dim)) return false;
  }
  return true;
}

void copy_on_device(const at::Tensor& destination, const at::Tensor& source) {
  if (destination.numel() == 0 || destination.is_same(source)) return;
  at::assert_no_internal_overlap(destination);
  at::assert_no_partial_overlap(destination, source);
  if (destination.scalar_type() == source.scalar_type() && have_same_dense_layout(destination, source)) {
    if (address_to_read(destination) == address_to_read(source)) return;
    const c10::DeviceIndex index = destination.device().index();
    surfacing_errors([&] {
      const uint64_t to = address_of(destination);
      submit_copy(index, to, address_to_read(source), destination.nbytes());
    });
    return;
  }
  if (destination.is_complex() || source.is_complex()) return copy_complex(destination, source);
  launch_copy(destination, source, merged_dimensions(destination, source));
}

}  // namespace mtia::torch_backend
