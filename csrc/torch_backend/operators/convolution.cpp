// Convolutions of one to three dimensions as matrix products over windows of the padded input (im2col), group by group;
// a transposed convolution is the gradient of one. Windows are strided views, gathered into columns by one copy.
#include <ATen/OpMathType.h>
#include <ATen/ops/constant_pad_nd.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <algorithm>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/products.h"

namespace mtia::torch_backend {
namespace {

using Sizes = std::vector<int64_t>;

// The geometry of output = convolution(input, weight): input [batch, channels, spatial...],
// weight [out_channels, channels / groups, kernel...], output [batch, out_channels, windows...].
struct Convolution {
  int64_t batch, channels, out_channels, groups;
  Sizes spatial, kernel, windows, stride, padding, dilation;

  size_t dimensions() const { return spatial.size(); }
  int64_t positions() const { return c10::multiply_integers(kernel); }
  int64_t columns() const { return batch * c10::multiply_integers(windows); }

  Sizes padded() const {
    Sizes sizes;
    for (size_t i = 0; i < dimensions(); ++i) sizes.push_back(spatial[i] + 2 * padding[i]);
    return sizes;
  }
};

Convolution geometry(at::IntArrayRef input, const at::Tensor& weight, at::IntArrayRef stride, at::IntArrayRef padding,
                     at::IntArrayRef dilation, int64_t groups) {
  Convolution it{input[0], input[1], weight.size(0), groups, {}, {}, {}, stride.vec(), padding.vec(), dilation.vec()};
  it.spatial = input.slice(2).vec();
  it.kernel = weight.sizes().slice(2).vec();
  for (size_t i = 0; i < it.dimensions(); ++i) {
    const int64_t reach = dilation[i] * (it.kernel[i] - 1) + 1;
    it.windows.push_back((it.spatial[i] + 2 * padding[i] - reach) / stride[i] + 1);
  }
  return it;
}

Sizes joined(std::initializer_list<int64_t> head, std::initializer_list<Sizes> tails) {
  Sizes all(head);
  for (const Sizes& tail : tails) all.insert(all.end(), tail.begin(), tail.end());
  return all;
}

// [batch, out_channels, windows...] as [groups, out_channels / groups, batch * windows].
at::Tensor by_group(const at::Tensor& output, const Convolution& it) {
  return output.reshape({it.batch, it.groups, it.out_channels / it.groups, -1})
      .permute({1, 2, 0, 3})
      .reshape({it.groups, it.out_channels / it.groups, it.columns()});
}

at::Tensor from_groups(const at::Tensor& product, const Convolution& it) {
  return product.reshape({it.groups, it.out_channels / it.groups, it.batch, c10::multiply_integers(it.windows)})
      .permute({2, 0, 1, 3})
      .reshape(joined({it.batch, it.out_channels}, {it.windows}))
      .contiguous();
}

at::Tensor matrix_of(const at::Tensor& weight, const Convolution& it) {
  return weight.reshape({it.groups, it.out_channels / it.groups, it.channels / it.groups * it.positions()});
}

// [groups, channels / groups * positions, batch * windows].
at::Tensor columns_of(const at::Tensor& input, const Convolution& it) {
  Sizes pads;
  for (size_t i = it.dimensions(); i-- > 0;) pads.insert(pads.end(), 2, it.padding[i]);
  const bool pad = std::any_of(pads.begin(), pads.end(), [](int64_t amount) { return amount != 0; });
  const at::Tensor padded = pad ? at::constant_pad_nd(input, pads, 0) : input;
  const int64_t channels = it.channels / it.groups;
  Sizes strides{channels * padded.stride(1), padded.stride(1)};
  for (size_t i = 0; i < it.dimensions(); ++i) {
    strides.push_back(it.dilation[i] * padded.stride(static_cast<int64_t>(i) + 2));
  }
  strides.push_back(padded.stride(0));
  for (size_t i = 0; i < it.dimensions(); ++i) {
    strides.push_back(it.stride[i] * padded.stride(static_cast<int64_t>(i) + 2));
  }
  return padded.as_strided(joined({it.groups, channels}, {it.kernel, {it.batch}, it.windows}), strides)
      .reshape({it.groups, channels * it.positions(), it.columns()});
}

// a b for each group, rounded once to `dtype`; the addend, where there is one, before that.
at::Tensor product_of(const at::Tensor& a, const at::Tensor& b, c10::ScalarType dtype, const at::Tensor& addend = {}) {
  const at::Tensor product = empty_device({a.size(0), a.size(1), b.size(2)}, dtype, a.device());
  matrix_product("convolution", product, a, b, addend.defined() ? addend.expand(product.sizes()) : addend, 1, 1);
  return product;
}

at::Tensor forward(const at::Tensor& input, const at::Tensor& weight, const at::Tensor& bias, const Convolution& it) {
  const at::Tensor addend = bias.defined() ? bias.reshape({it.groups, it.out_channels / it.groups, 1}) : bias;
  return from_groups(product_of(matrix_of(weight, it), columns_of(input, it), input.scalar_type(), addend), it);
}

at::Tensor weight_gradient(const at::Tensor& grad_output, const at::Tensor& input, const at::Tensor& weight,
                           const Convolution& it) {
  return product_of(by_group(grad_output, it), columns_of(input, it).transpose(1, 2), weight.scalar_type())
      .reshape(weight.sizes());
}

// Adds the columns back one kernel position at a time, in float32 or wider: no two windows meet in one addition.
at::Tensor input_gradient(const at::Tensor& grad_output, const at::Tensor& weight, const at::Tensor& bias,
                          const Convolution& it) {
  const c10::ScalarType dtype = grad_output.scalar_type();
  const c10::ScalarType wide = at::toOpMathType(dtype);
  const at::Tensor columns =
      product_of(matrix_of(weight, it).transpose(1, 2), by_group(grad_output, it), wide)
          .reshape(joined({it.groups, it.channels / it.groups, it.positions(), it.batch}, {it.windows}));
  const at::Tensor sums =
      at::zeros(joined({it.batch, it.groups, it.channels / it.groups}, {it.padded()}), columns.options());
  at::Tensor inside = sums.view(joined({it.batch, it.channels}, {it.padded()}));
  for (int64_t position = 0; position < it.positions(); ++position) {
    at::Tensor place = sums;
    for (int64_t rest = position, i = static_cast<int64_t>(it.dimensions()) - 1; i >= 0; --i) {
      const auto at = static_cast<size_t>(i);
      const int64_t start = rest % it.kernel[at] * it.dilation[at];
      rest /= it.kernel[at];
      place = place.slice(i + 3, start, start + (it.windows[at] - 1) * it.stride[at] + 1, it.stride[at]);
    }
    place.add_(columns.select(2, position).movedim(2, 0));
  }
  for (size_t i = 0; i < it.dimensions(); ++i) {
    inside = inside.narrow(static_cast<int64_t>(i) + 2, it.padding[i], it.spatial[i]);
  }
  if (bias.defined()) inside.add_(bias.view(joined({-1}, {Sizes(it.dimensions(), 1)})));
  return inside.to(dtype).contiguous();
}

// The windows that a transposed convolution's input has elements for: where the output padding reaches the stride, more
// would fit into the output.
Convolution with_windows(Convolution it, const at::Tensor& input) {
  it.windows = input.sizes().slice(2).vec();
  return it;
}

// The convolution whose input gradient is the transposed convolution of `input` [batch, weight.size(0), spatial...].
Convolution transposed_geometry(const at::Tensor& input, const at::Tensor& weight, at::IntArrayRef stride,
                                at::IntArrayRef padding, at::IntArrayRef dilation, at::IntArrayRef output_padding,
                                int64_t groups) {
  Sizes sizes{input.size(0), weight.size(1) * groups};
  for (size_t i = 0; i < stride.size(); ++i) {
    const auto axis = static_cast<int64_t>(i) + 2;
    sizes.push_back((input.size(axis) - 1) * stride[i] - 2 * padding[i] + dilation[i] * (weight.size(axis) - 1) + 1 +
                    output_padding[i]);
  }
  return with_windows(geometry(sizes, weight, stride, padding, dilation, groups), input);
}

at::Tensor convolution(const at::Tensor& input, const at::Tensor& weight, const std::optional<at::Tensor>& bias,
                       at::IntArrayRef stride, at::IntArrayRef padding, at::IntArrayRef dilation, bool transposed,
                       at::IntArrayRef output_padding, int64_t groups) {
  TORCH_CHECK(input.scalar_type() == weight.scalar_type(), "convolution: input is ", input.scalar_type(),
              " and weight ", weight.scalar_type(), "; convert one of them");
  const at::IntArrayRef kernel = weight.sizes().slice(2);
  TORCH_CHECK(std::all_of(kernel.begin(), kernel.end(), [](int64_t size) { return size > 0; }),
              "kernel size should be greater than zero, but got a kernel of size ", kernel, " (convolution)");
  TORCH_CHECK(!transposed || weight.numel() != 0 || input.numel() == 0,
              "convolution: expected a weight that is not empty, got ", weight.sizes());
  const at::Tensor added = bias.value_or(at::Tensor());
  if (!transposed) {
    return forward(input, weight, added, geometry(input.sizes(), weight, stride, padding, dilation, groups));
  }
  return input_gradient(input, weight, added,
                        transposed_geometry(input, weight, stride, padding, dilation, output_padding, groups));
}

std::tuple<at::Tensor, at::Tensor, at::Tensor> convolution_backward(const at::Tensor& grad_output,
                                                                    const at::Tensor& input, const at::Tensor& weight,
                                                                    at::IntArrayRef stride, at::IntArrayRef padding,
                                                                    at::IntArrayRef dilation, bool transposed,
                                                                    at::IntArrayRef, int64_t groups,
                                                                    std::array<bool, 3> wanted) {
  at::Tensor grad_input, grad_weight, grad_bias;
  if (transposed) {
    const Convolution it =
        with_windows(geometry(grad_output.sizes(), weight, stride, padding, dilation, groups), input);
    if (wanted[0]) grad_input = forward(grad_output, weight, {}, it);
    if (wanted[1]) grad_weight = weight_gradient(input, grad_output, weight, it);
  } else {
    const Convolution it = geometry(input.sizes(), weight, stride, padding, dilation, groups);
    if (wanted[0]) grad_input = input_gradient(grad_output, weight, {}, it);
    if (wanted[1]) grad_weight = weight_gradient(grad_output, input, weight, it);
  }
  if (wanted[2]) {
    Sizes others{0};
    for (int64_t i = 2; i < grad_output.dim(); ++i) others.push_back(i);
    grad_bias = grad_output.sum(others);
  }
  return {grad_input, grad_weight, grad_bias};
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("convolution_overrideable", mtia::torch_backend::convolution);
  library.impl("convolution_backward_overrideable", mtia::torch_backend::convolution_backward);
}
