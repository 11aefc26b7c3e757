// Which kernel multiplies matrices of a dtype, and what complex ones look like as real ones.
#include "torch_backend/operators/products.h"

#include <ATen/MemoryOverlap.h>
#include <ATen/OpMathType.h>
#include <ATen/ops/mul.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/ones.h>
#include <ATen/ops/view_as_real.h>

#include <cmath>

#include "kernels/cpp/gemm.h"
#include "kernels/cpp/integer_gemm.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

// The last two dimensions as rows and columns, a dimension before them as the batch.
kernels::GemmMatrix matrix_at(uint64_t address, const at::Tensor& tensor) {
  kernels::GemmMatrix matrix;
  matrix.base = address;
  matrix.row_stride = tensor.stride(-2);
  matrix.column_stride = tensor.stride(-1);
  if (tensor.dim() == 3) matrix.batch_stride[0] = tensor.stride(0);
  return matrix;
}

kernels::GemmMatrix operand_of(const at::Tensor& tensor) { return matrix_at(address_to_read(tensor), tensor); }
kernels::GemmMatrix result_of(const at::Tensor& tensor) { return matrix_at(address_of(tensor), tensor); }

bool has_dense_line(const at::Tensor& tensor) {
  return tensor.stride(-1) == 1 || tensor.stride(-2) == 1 || tensor.size(-1) == 1 || tensor.size(-2) == 1;
}

// Where k is cut follows from sizes alone, since it decides bits: a chip must not.
constexpr int64_t long_depth = 16384;
constexpr int64_t part_depth = 2048;
constexpr int64_t few_tiles = 16;  // of 64 x 64 results

bool is_cut(const kernels::GemmArguments& it) {
  return it.k >= long_depth && (it.m + 63) / 64 * ((it.n + 63) / 64) * it.batch[0] <= few_tiles;
}

void launch_gemm(const kernels::GemmArguments& arguments, const at::Tensor& out, const at::Tensor& a,
                 const at::Tensor& b, const at::Tensor& addend) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("gemm");
  launch_cpp_kernel(kernel, out.device().index(), arguments, {out, a, b, addend});
}

// Parts of k side by side: [parts, results].
at::Tensor products_of_parts(const kernels::GemmArguments& whole, const at::Tensor& a, const at::Tensor& b,
                             c10::ScalarType wide) {
  const int64_t count = (whole.k + part_depth - 1) / part_depth;
  const int64_t results = whole.batch[0] * whole.m * whole.n;
  at::Tensor products = empty_device({count, results}, wide, a.device());
  kernels::GemmArguments parts = whole;
  parts.k = part_depth;
  parts.k_of_parts = whole.k;
  parts.batch[1] = count;
  parts.a.batch_stride[1] = part_depth * whole.a.column_stride;
  parts.b.batch_stride[1] = part_depth * whole.b.row_stride;
  parts.c = result_of(products);
  parts.c.row_stride = whole.n;
  parts.c.batch_stride[0] = whole.m * whole.n;
  parts.c.batch_stride[1] = results;
  parts.c_dtype = chip_dtype(wide).dtype;
  parts.addend = {};
  parts.alpha = 1;
  launch_gemm(parts, products, a, b, {});
  return products;
}

// Few results would leave most PEs idle over a long k: parts of it are multiplied, and a second product, by ones, adds
// them. One result would leave most of each dot product engine idle too: the vector cores make it.
void launch_in_parts(const kernels::GemmArguments& whole, const at::Tensor& out, const at::Tensor& a,
                     const at::Tensor& b, const at::Tensor& addend) {
  const c10::ScalarType wide = at::toOpMathType(a.scalar_type());
  const at::Tensor parts = out.numel() > 1
                               ? products_of_parts(whole, a, b, wide)
                               : at::mul(a.reshape({-1}).to(wide), b.reshape({-1}).to(wide)).sum().view({1, 1});
  const at::Tensor ones = at::ones({1, parts.size(0)}, parts.options());
  kernels::GemmArguments total = whole;
  total.m = 1;
  total.k = parts.size(0);
  total.batch[1] = whole.m;
  total.dtype = chip_dtype(wide).dtype;
  total.a = operand_of(ones);
  total.b = operand_of(parts);
  total.b.batch_stride[0] = whole.m * whole.n;
  total.b.batch_stride[1] = whole.n;
  total.c.batch_stride[1] = whole.c.row_stride;
  if (total.c.column_stride != 1) total.c.row_stride = 1;
  total.addend.batch_stride[1] = whole.addend.row_stride;
  launch_gemm(total, out, ones, parts, addend);
}

void float_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                   double beta, double alpha) {
  const bool direct = has_dense_line(out);
  const at::Tensor target = direct ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  kernels::GemmArguments arguments;
  arguments.m = a.size(-2);
  arguments.k = a.size(-1);
  arguments.n = b.size(-1);
  if (out.dim() == 3) arguments.batch[0] = out.size(0);
  arguments.c = result_of(target);
  arguments.a = operand_of(a);
  arguments.b = operand_of(b);
  // A stride of a dimension of size 1 means nothing: say 1 where the kernel looks for a dense line.
  if (arguments.n == 1 && arguments.c.row_stride != 1) arguments.c.column_stride = 1;
  if (arguments.m == 1 && arguments.c.column_stride != 1) arguments.c.row_stride = 1;
  arguments.alpha = alpha;
  arguments.beta = beta;
  if (addend.defined()) {
    arguments.addend = operand_of(addend);
    arguments.addend_dtype = chip_dtype(addend.scalar_type()).dtype;
  }
  arguments.dtype = chip_dtype(a.scalar_type()).dtype;
  arguments.c_dtype = chip_dtype(target.scalar_type()).dtype;
  (is_cut(arguments) ? launch_in_parts : launch_gemm)(arguments, target, a, b, addend);
  if (!direct) out.copy_(target);
}

// A factor of integer products, whose fraction is dropped as CPU torch drops it where it does not refuse it before;
// raises for numbers beyond the dtype as torch does.
int64_t whole_factor(const at::Scalar& value, c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kByte:
      return value.toByte();
    case c10::kChar:
      return value.toChar();
    case c10::kShort:
      return value.toShort();
    case c10::kInt:
      return value.toInt();
    default:
      return value.toLong();
  }
}

void integer_product(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
                     const at::Scalar& beta, const at::Scalar& alpha) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("integer_gemm");
  const c10::ScalarType dtype = out.scalar_type();
  const bool direct = has_dense_line(out);
  const at::Tensor target = direct ? out : empty_device(out.sizes(), dtype, out.device());
  kernels::IntegerGemmArguments arguments;
  arguments.m = a.size(-2);
  arguments.k = a.size(-1);
  arguments.n = b.size(-1);
  if (out.dim() == 3) arguments.batch = out.size(0);
  arguments.c = result_of(target);
  arguments.a = operand_of(a);
  arguments.b = operand_of(b);
  arguments.alpha = whole_factor(alpha, dtype);
  arguments.beta = whole_factor(beta, dtype);
  if (addend.defined()) arguments.addend = operand_of(addend);
  arguments.dtype = chip_dtype(dtype).dtype;
  launch_cpp_kernel(kernel, out.device().index(), arguments, {target, a, b, addend});
  if (!direct) out.copy_(target);
}

// [..., rows, columns] of complex numbers as [..., rows, 2 columns] of their parts; a view where the columns are
// adjacent.
at::Tensor parts_in_rows(const at::Tensor& matrix) { return at::view_as_real(matrix).flatten(-2); }

// What parts_in_rows(a) is multiplied by to give parts_in_rows(a b):
//   [re b00  im b00  re b01 ...]
//   [-im b00 re b00 -im b01 ...]        the second row with the other sign where a is to be conjugated
at::Tensor real_matrix_of(const at::Tensor& b, bool conjugate_b, bool conjugate_a) {
  const at::Tensor parts = at::view_as_real(b);
  const at::Tensor real = parts.select(-1, 0);
  const at::Tensor imaginary = conjugate_b ? at::neg(parts.select(-1, 1)) : parts.select(-1, 1);
  c10::SmallVector<int64_t, 5> sizes(b.sizes().begin(), b.sizes().end() - 1);
  for (const int64_t size : {int64_t{2}, b.size(-1), int64_t{2}}) sizes.push_back(size);
  const at::Tensor matrix = empty_device(sizes, c10::toRealValueType(b.scalar_type()), b.device());
  const at::Tensor first = matrix.select(-3, 0);
  const at::Tensor second = matrix.select(-3, 1);
  first.select(-1, 0).copy_(real);
  first.select(-1, 1).copy_(imaginary);
  second.select(-1, 0).copy_(conjugate_a ? imaginary : at::neg(imaginary));
  second.select(-1, 1).copy_(conjugate_a ? at::neg(real) : real);
  return matrix.flatten(-2).flatten(-3, -2);
}

// One real product of twice the rows and columns: both parts of a sum are rounded together.
void complex_product(const at::Tensor& out, const at::Tensor& given_a, const at::Tensor& given_b,
                     const at::Tensor& given_addend, const at::Scalar& beta, const at::Scalar& alpha) {
  const at::Tensor a = given_a.is_conj() ? given_a.conj() : given_a;
  at::Tensor b = given_b.is_conj() ? given_b.conj() : given_b;
  bool conjugate_b = given_b.is_conj();
  at::Tensor addend = given_addend.defined() ? given_addend.resolve_conj() : given_addend;
  double real_alpha = alpha.toComplexDouble().real();
  double real_beta = beta.toComplexDouble().real();
  if (alpha.toComplexDouble().imag() != 0) {
    b = at::mul(given_b, alpha);
    conjugate_b = false;
    real_alpha = 1;
  }
  if (addend.defined() && beta.toComplexDouble().imag() != 0) {
    addend = at::mul(addend, beta);
    real_beta = 1;
  }
  const bool direct = (out.stride(-1) == 1 || out.size(-1) == 1) && !out.is_conj();
  const at::Tensor target = direct ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  float_product(parts_in_rows(target), parts_in_rows(a), real_matrix_of(b, conjugate_b, given_a.is_conj()),
                addend.defined() ? parts_in_rows(addend) : addend, real_beta, real_alpha);
  if (!direct) out.copy_(target);
}

bool is_zero(const at::Scalar& number) { return number.toComplexDouble() == 0.0; }

void check_operand(const char* name, const at::Tensor& tensor, const at::Tensor& out) {
  TORCH_CHECK(tensor.device() == out.device(), name, ": Expected all tensors to be on the same device, ", out.device(),
              ", but found one on ", tensor.device(), "; move it with .to('", out.device(), "')");
}

}  // namespace

void matrix_product(const char* name, const at::Tensor& out, const at::Tensor& given_a, const at::Tensor& given_b,
                    const at::Tensor& given_addend, const at::Scalar& beta, const at::Scalar& alpha) {
  const c10::ScalarType dtype = given_a.scalar_type();
  const bool is_integer =
      dtype == c10::kByte || dtype == c10::kChar || dtype == c10::kShort || dtype == c10::kInt || dtype == c10::kLong;
  const bool is_complex = dtype == c10::kComplexFloat || dtype == c10::kComplexDouble;
  TORCH_CHECK_NOT_IMPLEMENTED(is_integer || is_complex || at::isFloatingType(dtype), "\"", name,
                              "\" not implemented for '", dtype,
                              "' on mtia_sim: convert the matrices to a floating dtype or to int64 first");
  const bool has_addend = given_addend.defined() && !is_zero(beta);
  const at::Tensor addend = has_addend ? given_addend.resolve_neg() : at::Tensor();
  const at::Tensor a = given_a.resolve_neg();
  const at::Tensor b = given_b.resolve_neg();
  for (const at::Tensor* tensor : {&a, &b}) check_operand(name, *tensor, out);
  if (has_addend) check_operand(name, addend, out);
  if (is_integer) {
    (void)whole_factor(alpha, dtype);
    (void)whole_factor(beta, dtype);
  }
  at::assert_no_internal_overlap(out);
  if (out.numel() == 0) return;
  if (out.is_neg()) {
    const at::Tensor target = empty_device(out.sizes(), out.scalar_type(), out.device());
    matrix_product(name, target, a, b, addend, beta, alpha);
    out.copy_(target);
    return;
  }
  if (is_integer) {
    integer_product(out, a, b, addend, beta, alpha);
  } else if (is_complex) {
    complex_product(out, a, b, addend, beta, alpha);
  } else {
    float_product(out, a, b, addend, beta.toDouble(), alpha.toDouble());
  }
}

}  // namespace mtia::torch_backend
