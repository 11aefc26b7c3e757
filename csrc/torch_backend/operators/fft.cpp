// aten::_fft_c2c, _fft_r2c and _fft_c2r, of which torch.fft, stft and istft are made.
#include <ATen/WrapDimUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/native/SpectralOpsUtils.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <numeric>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/fft_transform.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

using Dimensions = c10::SmallVector<int64_t, 8>;

void check_transformable(c10::ScalarType dtype) {
  const c10::ScalarType real = c10::toRealValueType(dtype);
  TORCH_CHECK(real == c10::kFloat || real == c10::kDouble, "FFT doesn't support tensors of type: ", real,
              "; mtia_sim takes what CPU torch takes: convert to float32 or float64 first");
}

void check_complex(const at::Tensor& self) {
  TORCH_CHECK(self.is_complex(), "Only supports complex dtypes, but found: ", self.scalar_type());
  check_transformable(self.scalar_type());
}

double scale_of(int64_t normalization, c10::IntArrayRef sizes, c10::IntArrayRef dims) {
  using Mode = at::native::fft_norm_mode;
  double numbers = 1;
  for (const int64_t dim : dims) numbers *= static_cast<double>(sizes[static_cast<size_t>(dim)]);
  switch (static_cast<Mode>(normalization)) {
    case Mode::by_root_n:
      return 1 / std::sqrt(numbers);
    case Mode::by_n:
      return 1 / numbers;
    default:
      return 1;
  }
}

Dimensions wrapped(const at::Tensor& self, c10::IntArrayRef dims) {
  Dimensions result(dims.begin(), dims.end());
  at::maybe_wrap_dims(result, self.dim());
  return result;
}

// The transformed dimensions lie innermost, by falling stride of the input but for the last where it is `fixed`; the
// others before them in the input's order: as CPU torch's results lie.
at::Tensor empty_result(const at::Tensor& self, c10::IntArrayRef sizes, Dimensions dims, bool fixed,
                        c10::ScalarType dtype) {
  const auto by_stride = [&](int64_t a, int64_t b) { return self.stride(a) > self.stride(b); };
  std::stable_sort(dims.begin(), dims.end() - (fixed ? 1 : 0), by_stride);
  Dimensions order;
  for (int64_t i = 0; i < self.dim(); ++i)
    if (std::find(dims.begin(), dims.end(), i) == dims.end()) order.push_back(i);
  std::stable_sort(order.begin(), order.end(), by_stride);
  order.append(dims.begin(), dims.end());
  Dimensions strides(sizes.size(), 1);
  int64_t stride = 1;
  for (auto dim = order.rbegin(); dim != order.rend(); ++dim) {
    strides[static_cast<size_t>(*dim)] = stride;
    stride *= std::max<int64_t>(1, sizes[static_cast<size_t>(*dim)]);
  }
  return empty_device_strided(sizes, strides, dtype, self.device());
}

at::Tensor c2c(const at::Tensor& self, c10::IntArrayRef given, int64_t normalization, bool forward) {
  check_complex(self);
  if (given.empty()) return self.clone();
  const Dimensions dims = wrapped(self, given);
  at::Tensor result = empty_result(self, self.sizes(), dims, false, self.scalar_type());
  double scale = scale_of(normalization, self.sizes(), dims);
  at::Tensor source = self;
  for (auto dim = dims.rbegin(); dim != dims.rend(); ++dim) {
    fft_transform(result.movedim(*dim, -1), source.movedim(*dim, -1),
                  {.length = self.size(*dim), .is_inverse = !forward, .scale = scale});
    source = result;
    scale = 1;
  }
  return result;
}

at::Tensor r2c(const at::Tensor& self, c10::IntArrayRef given, int64_t normalization, bool onesided) {
  TORCH_CHECK(self.is_floating_point(), "Only supports floating-point dtypes, but found: ", self.scalar_type());
  check_transformable(self.scalar_type());
  TORCH_CHECK(!given.empty(), "_fft_r2c: give at least one dimension to transform");
  const Dimensions dims = wrapped(self, given);
  const int64_t last = dims.back(), length = self.size(last);
  Dimensions sizes(self.sizes().begin(), self.sizes().end());
  if (onesided) sizes[static_cast<size_t>(last)] = length / 2 + 1;
  at::Tensor result = empty_result(self, sizes, dims, true, c10::toComplexType(self.scalar_type()));
  fft_transform(result.movedim(last, -1), self.movedim(last, -1),
                {.length = length, .scale = scale_of(normalization, self.sizes(), dims)});
  for (auto dim = dims.rbegin() + 1; dim != dims.rend(); ++dim) {
    const at::Tensor signal = result.movedim(*dim, -1);
    fft_transform(signal, signal, {.length = self.size(*dim)});
  }
  return result;
}

at::Tensor c2r(const at::Tensor& self, c10::IntArrayRef given, int64_t normalization, int64_t length) {
  check_complex(self);
  TORCH_CHECK(!given.empty(), "_fft_c2r: give at least one dimension to transform");
  const Dimensions dims = wrapped(self, given);
  const int64_t last = dims.back();
  TORCH_CHECK(length >= 1 && self.size(last) == length / 2 + 1, "_fft_c2r: a result of ", length,
              " numbers is made of ", length / 2 + 1, " numbers along dimension ", last, ", but got ", self.size(last));
  Dimensions sizes(self.sizes().begin(), self.sizes().end());
  sizes[static_cast<size_t>(last)] = length;
  const at::Tensor source =
      dims.size() > 1 ? c2c(self, c10::IntArrayRef(dims).slice(0, dims.size() - 1), 0, /*forward=*/false) : self;
  at::Tensor result = empty_result(source, sizes, {last}, true, c10::toRealValueType(self.scalar_type()));
  fft_transform(
      result.movedim(last, -1), source.movedim(last, -1),
      {.length = length, .is_inverse = true, .scale = scale_of(normalization, sizes, dims), .is_symmetric = true});
  return result;
}

at::Tensor& write(const char* operation, at::Tensor& out, const at::Tensor& result) {
  check_same_device(operation, result.device(), out);
  at::native::resize_output(out, result.sizes());
  return out.copy_(result);
}

at::Tensor& c2c_out(const at::Tensor& self, c10::IntArrayRef dims, int64_t normalization, bool forward,
                    at::Tensor& out) {
  return write("_fft_c2c", out, c2c(self, dims, normalization, forward));
}

at::Tensor& r2c_out(const at::Tensor& self, c10::IntArrayRef dims, int64_t normalization, bool onesided,
                    at::Tensor& out) {
  return write("_fft_r2c", out, r2c(self, dims, normalization, onesided));
}

at::Tensor& c2r_out(const at::Tensor& self, c10::IntArrayRef dims, int64_t normalization, int64_t length,
                    at::Tensor& out) {
  return write("_fft_c2r", out, c2r(self, dims, normalization, length));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_fft_c2c", c2c);
  library.impl("_fft_c2c.out", c2c_out);
  library.impl("_fft_r2c", r2c);
  library.impl("_fft_r2c.out", r2c_out);
  library.impl("_fft_c2r", c2r);
  library.impl("_fft_c2r.out", c2r_out);
}
