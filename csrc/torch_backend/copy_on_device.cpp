// Copies on one device: plain DMA, or the copy kernel with both tensors' strides.
#include <ATen/MemoryOverlap.h>
#include <ATen/ops/view_as_real.h>
#include <ATen/ops/zero.h>
#include <c10/util/SmallVector.h>

#include <algorithm>

#include "torch_backend/copy.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/stream.h"
#if __has_include("torch_backend/launch.h")
#include "torch_backend/launch.h"
#define MTIA_HAS_LAUNCH
#endif

namespace mtia::torch_backend {
namespace {

constexpr size_t kernel_dimensions = 6;

struct Dimension {
  int64_t size;
  int64_t destination_stride;
  int64_t source_stride;
};
using Dimensions = c10::SmallVector<Dimension, 8>;

// Outermost first by the destination's strides, without dimensions of size 1, neighbours merged where both tensors allow it.
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
      if (outer.destination_stride == inner.size * inner.destination_stride && outer.source_stride == inner.size * inner.source_stride) {
        outer = {outer.size * inner.size, inner.destination_stride, inner.source_stride};
        continue;
      }
    }
    merged.push_back(inner);
  }
  if (merged.empty()) merged.push_back({1, 1, 1});
  return merged;
}

// The kernel takes six dimensions; more are walked here, outermost first.
void launch_copy(const at::Tensor& destination, const at::Tensor& source, uint64_t destination_offset, uint64_t source_offset,
                 c10::ArrayRef<Dimension> dimensions) {
  if (dimensions.size() > kernel_dimensions) {
    for (int64_t i = 0; i < dimensions[0].size; ++i) {
      launch_copy(destination, source, destination_offset + static_cast<uint64_t>(i * dimensions[0].destination_stride),
                  source_offset + static_cast<uint64_t>(i * dimensions[0].source_stride), dimensions.slice(1));
    }
    return;
  }
#ifdef MTIA_HAS_LAUNCH
  static const KernelId copy_kernel("elementwise.copy");
  const auto at_element = [](const at::Tensor& tensor, uint64_t offset) {
    return reinterpret_cast<const void*>(address_of(tensor) + offset * tensor.itemsize());
  };
  const c10::ScalarType compute = c10::promoteTypes(destination.scalar_type(), source.scalar_type());
  KernelCall call(copy_kernel, destination.device().index());
  call.address(at_element(destination, destination_offset)).dtype(destination.scalar_type());
  call.address(at_element(source, source_offset)).dtype(source.scalar_type());
  call.dtype(compute);
  call.size(static_cast<int64_t>(dimensions.size()));
  for (const Dimension& dimension : dimensions) call.size(dimension.size);
  for (const Dimension& dimension : dimensions) call.size(dimension.destination_stride);
  for (const Dimension& dimension : dimensions) call.size(dimension.source_stride);
  call.launch();
#else
  (void)destination_offset;
  throw_for_python(Unimplemented(concat("a copy that changes layout or dtype of ", source.toString(), " to ", destination.toString())));
#endif
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
  if (destination.scalar_type() == source.scalar_type() && have_same_dense_layout(destination, source)) {
    if (address_of(destination) == address_of(source)) return;
    const c10::DeviceIndex index = destination.device().index();
    surfacing_errors([&] {
      device_of(index).copy_on_device(current_stream_id(index), address_of(destination), address_of(source), destination.nbytes());
    });
    return;
  }
  at::assert_no_partial_overlap(destination, source);
  if (destination.is_complex() || source.is_complex()) return copy_complex(destination, source);
  launch_copy(destination, source, 0, 0, merged_dimensions(destination, source));
}

}  // namespace mtia::torch_backend
