// Between the packed rows of a jagged tensor and a padded one: what torch's nested tensors of jagged layout are
// reduced, normalised and padded with.
#include <ATen/TensorIndexing.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/full.h>
#include <ATen/ops/index.h>
#include <ATen/ops/index_put.h>
#include <ATen/ops/searchsorted.h>
#include <ATen/ops/where.h>
#include <torch/library.h>

#include <tuple>

namespace mtia::torch_backend {
namespace {

// Each packed row's place in a padded tensor. A row past the padded length is in a column behind it.
struct Places {
  at::Tensor batch, column;
};

Places places_of(int64_t rows, const at::Tensor& offsets, int64_t length) {
  const at::Tensor row = at::arange(rows, offsets.options());
  const at::Tensor batch = at::searchsorted(offsets, row, /*out_int32=*/false, /*right=*/true).sub(1);
  return {batch, row.sub(offsets.index_select(0, batch)).clamp_max(length)};
}

const at::Tensor& only_offsets(const char* name, at::TensorList offsets, c10::IntArrayRef lengths) {
  TORCH_CHECK_NOT_IMPLEMENTED(offsets.size() == 1 && lengths.size() == 1, name, ": mtia_sim has one jagged dimension, ",
                              "got ", offsets.size(), "; nest no jagged tensors in each other");
  return offsets[0];
}

at::Tensor jagged_to_padded(const at::Tensor& values, at::TensorList all_offsets, c10::IntArrayRef lengths,
                            double padding) {
  const at::Tensor& offsets = only_offsets("_jagged_to_padded_dense_forward", all_offsets, lengths);
  const int64_t length = lengths[0];
  // Rows behind the last offset are in a list behind the others.
  c10::SmallVector<int64_t, 6> sizes{offsets.size(0), length + 1};
  sizes.append(values.sizes().begin() + 1, values.sizes().end());
  at::Tensor padded = at::full(sizes, padding, values.options());
  const Places places = places_of(values.size(0), offsets, length);
  padded.index_put_({places.batch, places.column}, values);
  return padded.narrow(0, 0, offsets.size(0) - 1).narrow(1, 0, length).contiguous();
}

at::Tensor padded_to_jagged(const at::Tensor& padded, at::TensorList all_offsets, std::optional<int64_t> total) {
  const at::Tensor& offsets = only_offsets("_padded_dense_to_jagged_forward", all_offsets, {0});
  const int64_t length = padded.size(1);
  const int64_t rows = total.has_value() ? *total : offsets.select(0, -1).item().toLong();
  const Places places = places_of(rows, offsets, length);
  if (length == 0) {
    c10::SmallVector<int64_t, 6> sizes(padded.sizes().begin() + 1, padded.sizes().end());
    sizes[0] = rows;
    return at::full(sizes, 0, padded.options());
  }
  const at::Tensor values = at::index(padded, {places.batch, places.column.clamp_max(length - 1)});
  at::Tensor there = places.column.lt(length);
  while (there.dim() < values.dim()) there = there.unsqueeze(-1);
  return at::where(there, values, at::full({}, 0, values.options()));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_jagged_to_padded_dense_forward", jagged_to_padded);
  library.impl("_padded_dense_to_jagged_forward", padded_to_jagged);
}
