// Linear layers of quantised numbers: int8 products, weights of 8 and 4 bits, float8 with scales.
#include <ATen/core/Tensor.h>
#include <ATen/ops/mm.h>
#include <torch/library.h>

#include <limits>

#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/products.h"

namespace mtia::torch_backend {
namespace {

at::Tensor rows_dense(const at::Tensor& matrix) {
  return matrix.stride(1) == 1 || matrix.size(1) == 1 ? matrix : matrix.contiguous();
}

// out = x weight^T, its columns scaled.
void int8_product(const at::Tensor& out, const at::Tensor& given_x, const at::Tensor& given_weight,
                  const at::Tensor& scales) {
  static const KernelId kernel("int8_product");
  if (out.numel() == 0) return;
  const at::Tensor x = rows_dense(given_x), weight = rows_dense(given_weight);
  launch_kernel(kernel, {out, x, weight, scales},
                {x.size(0), weight.size(0), x.size(1), out.stride(0), x.stride(0), weight.stride(0), 0});
}

at::Tensor& int_mm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  TORCH_CHECK(self.dim() == 2, "Expected self to be of dimension 2 but got ", self.dim());
  TORCH_CHECK(mat2.dim() == 2, "Expected mat2 to be of dimension 2 but got ", mat2.dim());
  TORCH_CHECK(self.size(1) == mat2.size(0), "self.size(1) needs to match mat2.size(0) but got ", self.size(1), " and ",
              mat2.size(0));
  for (const at::Tensor* tensor : {&self, &mat2}) {
    TORCH_CHECK(tensor->scalar_type() == c10::kChar, "Expected self and mat2 to be of type int8 but got ",
                tensor->scalar_type());
  }
  check_output("_int_mm", out, c10::kInt, self.device());
  check_same_device("_int_mm", self.device(), mat2);
  at::native::resize_output(out, {self.size(0), mat2.size(1)});
  const Dense target(out);
  int8_product(target.tensor(), self, mat2.t(), {});
  target.finish();
  return out;
}

at::Tensor int_mm(const at::Tensor& self, const at::Tensor& mat2) {
  at::Tensor out = empty_device({0}, c10::kInt, self.device());
  return int_mm_out(self, mat2, out);
}

void check_activations(const char* name, const at::Tensor& x) {
  TORCH_CHECK(x.dim() == 2, name, " : Expected A to be a 2D tensor.");
  TORCH_CHECK(x.scalar_type() == c10::kBFloat16 || x.scalar_type() == c10::kHalf || x.scalar_type() == c10::kFloat,
              name, " : Expected A to be either 32-bit or 16-bit float tensor.");
}

at::Tensor weight_int8pack_mm(const at::Tensor& x, const at::Tensor& weight, const at::Tensor& scales) {
  check_activations("_weight_int8pack_mm", x);
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == c10::kChar && weight.size(1) == x.size(1),
              "_weight_int8pack_mm : expect B to be int8 of [", "n, ", x.size(1), "], got ", weight.scalar_type(), " ",
              weight.sizes());
  TORCH_CHECK(scales.dim() == 1 && scales.size(0) == weight.size(0),
              "_weight_int8pack_mm : expect scales to be 1d tensor with size ", weight.size(0));
  const at::Tensor out = empty_device({x.size(0), weight.size(0)}, x.scalar_type(), x.device());
  int8_product(out, x, weight, scales.contiguous());
  return out;
}

// The bytes as they are, in the sizes that torch's meta function promises: [n / 8, k / (16 tiles), 32, tiles / 2].
at::Tensor convert_weight_to_int4pack(const at::Tensor& weight, int64_t tiles) {
  TORCH_CHECK(weight.dim() == 2 && weight.scalar_type() == c10::kByte,
              "_convert_weight_to_int4pack: expect weight to be a matrix of uint8, got ", weight.scalar_type(), " ",
              weight.sizes());
  const int64_t n = weight.size(0), k = weight.size(1) * 2;
  TORCH_CHECK(tiles == 2 || tiles == 4 || tiles == 8,
              "_convert_weight_to_int4pack: innerKTiles needs to be 2, 4, or 8");
  TORCH_CHECK(n % 8 == 0 && k % (tiles * 16) == 0, "_convert_weight_to_int4pack: expect n to be a multiple of 8 and k ",
              "of ", tiles * 16, ", got ", n, " and ", k);
  const at::Tensor packed = empty_device({n / 8, k / (tiles * 16), 32, tiles / 2}, c10::kInt, weight.device());
  packed.view(c10::kByte).view({n, k / 2}).copy_(weight);
  return packed;
}

at::Tensor weight_int4pack_mm(const at::Tensor& given_x, const at::Tensor& packed, int64_t group,
                              const at::Tensor& given_scales) {
  static const KernelId kernel("int4_product");
  check_activations("_weight_int4pack_mm", given_x);
  TORCH_CHECK(packed.dim() == 4 && packed.scalar_type() == c10::kInt && packed.is_contiguous(),
              "_weight_int4pack_mm : expect B to be what _convert_weight_to_int4pack returned");
  TORCH_CHECK(group == 32 || group == 64 || group == 128 || group == 256,
              "_weight_int4pack_mm : expect qGroupSize to be 32, 64, 128 or 256, got ", group);
  const int64_t m = given_x.size(0), n = packed.size(0) * 8, k = given_x.size(1);
  TORCH_CHECK(packed.numel() * 8 == n * k, "_weight_int4pack_mm : A has k = ", k, ", but B has ", packed.numel() * 8,
              " weights of ", n, " rows");
  TORCH_CHECK(k % group == 0 && given_scales.dim() == 3 && given_scales.size(0) == k / group &&
                  given_scales.size(1) == n && given_scales.size(2) == 2,
              "_weight_int4pack_mm : expect qScaleAndZeros to be [", k / group, ", ", n, ", 2], got ",
              given_scales.sizes());
  const at::Tensor out = empty_device({m, n}, given_x.scalar_type(), given_x.device());
  if (out.numel() == 0) return out;
  const at::Tensor x = rows_dense(given_x), scales = given_scales.contiguous();
  const at::Tensor bytes = packed.view(c10::kByte);
  launch_kernel(kernel, {out, x, bytes, scales}, {m, n, k, n, x.stride(0), k / 2, group});
  return out;
}

bool is_float8(c10::ScalarType dtype) {
  return dtype == c10::ScalarType::Float8_e4m3fn || dtype == c10::ScalarType::Float8_e5m2;
}

// One number, or one a row of the left or a column of the right matrix.
void check_scale(const char* which, const at::Tensor& scale, int64_t rows, int64_t columns) {
  TORCH_CHECK(scale.scalar_type() == c10::kFloat, "_scaled_mm: expected ", which, " to be float32, got ",
              scale.scalar_type());
  TORCH_CHECK_NOT_IMPLEMENTED(
      scale.numel() == 1 || (scale.dim() == 2 && scale.size(0) == rows && scale.size(1) == columns),
      "_scaled_mm: ", which, " has sizes ", scale.sizes(), "; mtia_sim takes one number or [", rows, ", ", columns,
      "]: scales of blocks are what tl.dot_scaled computes with");
}

at::Tensor& scaled_mm_out(const at::Tensor& self, const at::Tensor& mat2, const at::Tensor& scale_a,
                          const at::Tensor& scale_b, const std::optional<at::Tensor>& bias,
                          const std::optional<at::Tensor>& scale_result, std::optional<c10::ScalarType> out_dtype, bool,
                          at::Tensor& out) {
  TORCH_CHECK(self.dim() == 2 && mat2.dim() == 2, "mat1 and mat2 must be matrices");
  TORCH_CHECK(self.size(1) == mat2.size(0), "mat1 and mat2 shapes cannot be multiplied (", self.size(0), "x",
              self.size(1), " and ", mat2.size(0), "x", mat2.size(1), ")");
  TORCH_CHECK(is_float8(self.scalar_type()) && is_float8(mat2.scalar_type()),
              "Expected self and mat2 to be Float8 matrices, got ", self.scalar_type(), " and ", mat2.scalar_type());
  check_scale("scale_a", scale_a, self.size(0), 1);
  check_scale("scale_b", scale_b, 1, mat2.size(1));
  TORCH_CHECK(!bias.has_value() || !bias->defined() || bias->numel() == mat2.size(1), "Bias must be size ",
              mat2.size(1), " but got ", bias.has_value() ? bias->numel() : 0);
  check_output("_scaled_mm", out, out_dtype.value_or(self.scalar_type()), self.device());
  // The engine takes operands of one dtype; of two, both are exact in bfloat16.
  const bool alike = self.scalar_type() == mat2.scalar_type();
  const at::Tensor a = alike ? self : self.to(c10::kBFloat16), b = alike ? mat2 : mat2.to(c10::kBFloat16);
  const at::Tensor sum = empty_device({self.size(0), mat2.size(1)}, c10::kFloat, self.device());
  matrix_product("_scaled_mm", sum, a, b, {}, 0, 1);
  sum.mul_(scale_a.numel() == 1 ? scale_a.reshape({}) : scale_a);
  sum.mul_(scale_b.numel() == 1 ? scale_b.reshape({}) : scale_b);
  if (bias.has_value() && bias->defined()) sum.add_(bias->reshape({1, -1}));
  if (is_float8(out.scalar_type())) {
    if (scale_result.has_value() && scale_result->defined()) sum.div_(scale_result->reshape({}));
    const double largest = out.scalar_type() == c10::ScalarType::Float8_e4m3fn ? 448 : 57344;
    sum.clamp_(-largest, largest);
  }
  return write_output(out, sum);
}

at::Tensor scaled_mm(const at::Tensor& self, const at::Tensor& mat2, const at::Tensor& scale_a,
                     const at::Tensor& scale_b, const std::optional<at::Tensor>& bias,
                     const std::optional<at::Tensor>& scale_result, std::optional<c10::ScalarType> out_dtype,
                     bool fast) {
  at::Tensor out = empty_device({0}, out_dtype.value_or(self.scalar_type()), self.device());
  return scaled_mm_out(self, mat2, scale_a, scale_b, bias, scale_result, out_dtype, fast, out);
}

// ScalingType of ATen/BlasBackend.h.
constexpr int64_t tensor_wise = 0, row_wise = 1;

at::Tensor& scaled_mm_v2_out(const at::Tensor& self, const at::Tensor& mat2, at::TensorList scale_a,
                             c10::IntArrayRef recipe_a, c10::IntArrayRef, at::TensorList scale_b,
                             c10::IntArrayRef recipe_b, c10::IntArrayRef, const std::optional<at::Tensor>& bias,
                             std::optional<c10::ScalarType> out_dtype, c10::IntArrayRef, bool fast, at::Tensor& out) {
  const auto is_known = [](c10::IntArrayRef recipe) {
    return recipe.size() == 1 && (recipe[0] == tensor_wise || recipe[0] == row_wise);
  };
  TORCH_CHECK_NOT_IMPLEMENTED(is_known(recipe_a) && is_known(recipe_b) && scale_a.size() == 1 && scale_b.size() == 1,
                              "scaled_mm: mtia_sim scales by tensor or by row; scales of blocks are what tl.dot_scaled "
                              "computes with");
  const auto shaped = [](const at::Tensor& scale, int64_t recipe, bool left) {
    return recipe == tensor_wise ? scale : scale.reshape(left ? c10::IntArrayRef{-1, 1} : c10::IntArrayRef{1, -1});
  };
  return scaled_mm_out(self, mat2, shaped(scale_a[0], recipe_a[0], true), shaped(scale_b[0], recipe_b[0], false), bias,
                       std::nullopt, out_dtype, fast, out);
}

at::Tensor scaled_mm_v2(const at::Tensor& self, const at::Tensor& mat2, at::TensorList scale_a,
                        c10::IntArrayRef recipe_a, c10::IntArrayRef swizzle_a, at::TensorList scale_b,
                        c10::IntArrayRef recipe_b, c10::IntArrayRef swizzle_b, const std::optional<at::Tensor>& bias,
                        std::optional<c10::ScalarType> out_dtype, c10::IntArrayRef contraction, bool fast) {
  at::Tensor out = empty_device({0}, out_dtype.value_or(self.scalar_type()), self.device());
  return scaled_mm_v2_out(self, mat2, scale_a, recipe_a, swizzle_a, scale_b, recipe_b, swizzle_b, bias, out_dtype,
                          contraction, fast, out);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_int_mm", int_mm);
  library.impl("_int_mm.out", int_mm_out);
  library.impl("_weight_int8pack_mm", weight_int8pack_mm);
  library.impl("_convert_weight_to_int4pack", convert_weight_to_int4pack);
  library.impl("_weight_int4pack_mm", weight_int4pack_mm);
  library.impl("_scaled_mm", scaled_mm);
  library.impl("_scaled_mm.out", scaled_mm_out);
  library.impl("_scaled_mm_v2", scaled_mm_v2);
  library.impl("_scaled_mm_v2.out", scaled_mm_v2_out);
}
