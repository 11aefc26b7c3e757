// Samples of images at the positions of a grid, with the gradients of both.
#include <ATen/native/GridSamplerUtils.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <array>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/dtype_checks.h"
#include "torch_backend/operators/row_sums.h"

namespace mtia::torch_backend {
namespace {

using at::native::GridSamplerInterpolation;

// The elements that samples are made of: rows of the images' channels.
struct Taps {
  int64_t samples = 1;
  int64_t taps = 1;
  at::Tensor places;   // int64 [samples, taps], -1 outside of the image
  at::Tensor weights;  // [samples, taps]
  at::Tensor changes;  // by the grid's coordinates: [samples, taps, dimensions]
};

void check(const at::Tensor& input, const at::Tensor& grid, int64_t mode) {
  at::native::check_grid_sampler_common(input, grid);
  if (grid.size(-1) == 2) {
    at::native::check_grid_sampler_2d(input, grid);
  } else {
    at::native::check_grid_sampler_3d(input, grid, mode);
  }
  check_implemented(c10::isFloatingType(input.scalar_type()), "grid_sampler", input.scalar_type());
  TORCH_CHECK(grid.scalar_type() == input.scalar_type(),
              "grid_sampler(): expected input and grid of one type, but got ", input.scalar_type(), " and ",
              grid.scalar_type());
}

c10::ScalarType wide_of(const at::Tensor& tensor) {
  return tensor.scalar_type() == c10::kDouble ? c10::kDouble : c10::kFloat;
}

Taps taps_of(const at::Tensor& input, const at::Tensor& given_grid, int64_t mode, int64_t padding, bool align_corners,
             bool with_changes) {
  static const KernelId kernel("grid_taps");
  const at::Tensor grid = given_grid.contiguous();
  const int64_t dims = grid.size(-1);
  const int64_t axis_taps = mode == static_cast<int64_t>(GridSamplerInterpolation::Nearest)    ? 1
                            : mode == static_cast<int64_t>(GridSamplerInterpolation::Bilinear) ? 2
                                                                                               : 4;
  Taps taps;
  taps.samples = grid.numel() / dims;
  for (int64_t d = 0; d < dims; ++d) taps.taps *= axis_taps;
  taps.places = empty_device({taps.samples, taps.taps}, c10::kLong, input.device());
  taps.weights = empty_device({taps.samples, taps.taps}, wide_of(input), input.device());
  if (with_changes) taps.changes = empty_device({taps.samples, taps.taps, dims}, wide_of(input), input.device());
  launch_kernel(kernel, {taps.places, taps.weights, taps.changes, grid},
                {dims, mode, padding, align_corners ? 1 : 0, taps.samples, taps.samples / input.size(0), input.size(-1),
                 input.size(-2), dims == 3 ? input.size(-3) : 1});
  return taps;
}

// [N, C, ...] as [N * ..., C].
at::Tensor pixels_as_rows(const at::Tensor& images) {
  return images.movedim(1, -1).contiguous().view({-1, images.size(1)});
}

at::Tensor rows_as_pixels(const at::Tensor& rows, const at::Tensor& like, c10::IntArrayRef extents) {
  c10::SmallVector<int64_t, 6> sizes{like.size(0)};
  sizes.append(extents.begin(), extents.end());
  sizes.push_back(like.size(1));
  return rows.view(sizes).movedim(-1, 1).contiguous();
}

at::Tensor grid_sampler(const at::Tensor& input, const at::Tensor& grid, int64_t mode, int64_t padding,
                        bool align_corners) {
  const OperatorScope scope("grid_sampler");
  static const KernelId kernel("weighted_rows");
  check(input, grid, mode);
  const c10::IntArrayRef extents = grid.sizes().slice(1, static_cast<size_t>(grid.dim() - 2));
  const int64_t samples = grid.numel() / grid.size(-1);
  const at::Tensor rows = empty_device({samples, input.size(1)}, input.scalar_type(), input.device());
  if (rows.numel() > 0) {
    const Taps taps = taps_of(input, grid, mode, padding, align_corners, false);
    const at::Tensor pixels = pixels_as_rows(input);
    launch_kernel(kernel, {rows, pixels, taps.places, taps.weights}, {samples, taps.taps, input.size(1)});
  }
  return rows_as_pixels(rows, input, extents);
}

// Of the grid: each tap's product of the gradient's channels with the image's, times how its weight moves.
at::Tensor grid_gradient(const at::Tensor& grad_rows, const at::Tensor& input_rows, const at::Tensor& sample_of,
                         const Taps& taps, const at::Tensor& grid) {
  static const KernelId kernel("bag_weight_gradient");
  const at::Tensor products = empty_device({taps.samples, taps.taps, 1}, wide_of(grid), grid.device());
  launch_kernel(kernel, {products, grad_rows, input_rows, taps.places, sample_of},
                {products.numel(), input_rows.size(0), grad_rows.size(1), input_rows.size(1), input_rows.size(1)},
                {int64_t{-1}});
  return taps.changes.mul(products).sum({1}).to(grid.scalar_type()).view(grid.sizes());
}

std::tuple<at::Tensor, at::Tensor> grid_sampler_backward(const at::Tensor& grad, const at::Tensor& input,
                                                         const at::Tensor& grid, int64_t mode, int64_t padding,
                                                         bool align_corners, std::array<bool, 2> wanted) {
  const OperatorScope scope("grid_sampler_backward");
  check(input, grid, mode);
  const bool is_nearest = mode == static_cast<int64_t>(GridSamplerInterpolation::Nearest);
  at::Tensor grad_input, grad_grid;
  if (grad.numel() == 0) {
    if (wanted[0]) grad_input = at::zeros(input.sizes(), input.options());
    return {grad_input, at::zeros(grid.sizes(), grid.options())};
  }
  const Taps taps = taps_of(input, grid, mode, padding, align_corners, wanted[1] && !is_nearest);
  const at::Tensor grad_rows = pixels_as_rows(grad);
  const at::Tensor sample_of =
      at::arange(taps.samples, taps.places.options()).unsqueeze(1).expand({-1, taps.taps}).contiguous();
  if (wanted[0]) {
    const RowSums sums{.rows = input.numel() / input.size(1), .source_rows = sample_of, .factors = taps.weights};
    grad_input = rows_as_pixels(row_sums(grad_rows, taps.places, sums), input, input.sizes().slice(2));
  }
  grad_grid = wanted[1] && !is_nearest ? grid_gradient(grad_rows, pixels_as_rows(input), sample_of, taps, grid)
                                       : at::zeros(grid.sizes(), grid.options());
  return {grad_input, grad_grid};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("grid_sampler_2d", mtia::torch_backend::grid_sampler);
  library.impl("grid_sampler_3d", mtia::torch_backend::grid_sampler);
  library.impl("grid_sampler_2d_backward", mtia::torch_backend::grid_sampler_backward);
  library.impl("grid_sampler_3d_backward", mtia::torch_backend::grid_sampler_backward);
}
