// Matrix products: every operator becomes one call of the C++ kernel "gemm", which takes operands in any layout.
#include <ATen/ExpandUtils.h>
#include <ATen/ops/addmm_meta.h>
#include <ATen/ops/addmv_meta.h>
#include <ATen/ops/baddbmm_meta.h>
#include <ATen/ops/bmm_meta.h>
#include <ATen/ops/mm_meta.h>
#include <torch/library.h>

#include "kernels/cpp/gemm.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

const emulator::CppKernel& gemm_kernel() {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("gemm");
  return kernel;
}

// The last two dimensions as rows and columns, a dimension before them as the batch.
kernels::GemmMatrix matrix_of(const at::Tensor& tensor) {
  kernels::GemmMatrix matrix;
  matrix.base = reinterpret_cast<uint64_t>(tensor.const_data_ptr());
  matrix.row_stride = tensor.stride(-2);
  matrix.column_stride = tensor.stride(-1);
  if (tensor.dim() == 3) matrix.batch_stride[0] = tensor.stride(0);
  return matrix;
}

void check_operand(const at::Tensor& tensor, const at::Tensor& out) {
  TORCH_CHECK(tensor.device() == out.device(), "matmul: expected all tensors on ", out.device(), ", found one on ",
              tensor.device(), "; move it with .to('", out.device(), "')");
}

bool has_dense_line(const at::Tensor& tensor) {
  return tensor.stride(-1) == 1 || tensor.stride(-2) == 1 || tensor.size(-1) == 1 || tensor.size(-2) == 1;
}

// out = alpha * a b + beta * addend, of rank 2 or 3; addend undefined or of out's shape (by strides of 0).
void gemm(const at::Tensor& out, const at::Tensor& a, const at::Tensor& b, const at::Tensor& addend,
          const at::Scalar& beta, const at::Scalar& alpha) {
  if (out.numel() == 0) return;
  if (!at::isFloatingType(out.scalar_type())) {
    // The dot product engine takes floats; float64 holds every sum of products below 2^53 exactly.
    TORCH_CHECK_NOT_IMPLEMENTED(out.scalar_type() != at::kBool,
                                "mtia_sim multiplies no bool matrices; convert them to float32 first");
    const at::Tensor wide = empty_device(out.sizes(), at::kDouble, out.device());
    gemm(wide, a.to(at::kDouble), b.to(at::kDouble), addend.defined() ? addend.to(at::kDouble) : addend, beta, alpha);
    out.copy_(wide);
    return;
  }
  const bool direct = has_dense_line(out);
  const at::Tensor target = direct ? out : empty_device(out.sizes(), out.scalar_type(), out.device());
  for (const at::Tensor* tensor : {&a, &b}) check_operand(*tensor, out);
  kernels::GemmArguments arguments;
  arguments.m = a.size(-2);
  arguments.k = a.size(-1);
  arguments.n = b.size(-1);
  if (out.dim() == 3) arguments.batch[0] = out.size(0);
  arguments.a = matrix_of(a);
  arguments.b = matrix_of(b);
  arguments.c = matrix_of(target);
  // A stride of a dimension of size 1 means nothing: say 1 where the kernel looks for a dense line.
  if (arguments.n == 1 && arguments.c.row_stride != 1) arguments.c.column_stride = 1;
  if (arguments.m == 1 && arguments.c.column_stride != 1) arguments.c.row_stride = 1;
  arguments.alpha = alpha.toDouble();
  arguments.beta = beta.toDouble();
  if (addend.defined() && arguments.beta != 0) {
    check_operand(addend, out);
    arguments.addend = matrix_of(addend);
    arguments.addend_dtype = chip_dtype(addend.scalar_type()).dtype;
  }
  arguments.dtype = chip_dtype(a.scalar_type()).dtype;
  arguments.c_dtype = chip_dtype(target.scalar_type()).dtype;
  launch_cpp_kernel(gemm_kernel(), out.device().index(), arguments);
  if (!direct) out.copy_(target);
}

at::Tensor& mm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  WithOutputs<at::meta::structured_mm> call(out);
  call.meta(self, mat2);
  TORCH_CHECK(self.scalar_type() == mat2.scalar_type(),
              "expected m1 and m2 to have the same dtype, but got: ", self.scalar_type(), " != ", mat2.scalar_type());
  gemm(call.output(), self, mat2, {}, 0, 1);
  call.finish();
  return out;
}

at::Tensor mm(const at::Tensor& self, const at::Tensor& mat2) {
  at::Tensor out;
  WithOutputs<at::meta::structured_mm> call(out);
  call.meta(self, mat2);
  TORCH_CHECK(self.scalar_type() == mat2.scalar_type(),
              "expected m1 and m2 to have the same dtype, but got: ", self.scalar_type(), " != ", mat2.scalar_type());
  gemm(call.output(), self, mat2, {}, 0, 1);
  return call.output();
}

at::Tensor& bmm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  WithOutputs<at::meta::structured_bmm> call(out);
  call.meta(self, mat2);
  TORCH_CHECK(self.scalar_type() == mat2.scalar_type(),
              "expected both batches to have the same dtype, but got: ", self.scalar_type(),
              " != ", mat2.scalar_type());
  gemm(call.output(), self, mat2, {}, 0, 1);
  call.finish();
  return out;
}

at::Tensor& addmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  WithOutputs<at::meta::structured_addmm> call(out);
  call.meta(self, mat1, mat2, beta, alpha);
  const at::Tensor& result = call.output();
  gemm(result, mat1, mat2, self.expand(result.sizes()), beta, alpha);
  call.finish();
  return out;
}

at::Tensor& baddbmm_out(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2,
                        const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  WithOutputs<at::meta::structured_baddbmm> call(out);
  call.meta(self, batch1, batch2, beta, alpha);
  const at::Tensor& result = call.output();
  gemm(result, batch1, batch2, self.expand(result.sizes()), beta, alpha);
  call.finish();
  return out;
}

at::Tensor& addmv_out(const at::Tensor& self, const at::Tensor& mat, const at::Tensor& vec, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  WithOutputs<at::meta::structured_addmv> call(out);
  call.meta(self, mat, vec, beta, alpha);
  const at::Tensor& result = call.output();
  const at::Tensor addend = beta.toDouble() == 0 ? at::Tensor() : self.expand(result.sizes()).unsqueeze(1);
  gemm(result.unsqueeze(1), mat, vec.unsqueeze(1), addend, beta, alpha);
  call.finish();
  return out;
}

at::Tensor dot(const at::Tensor& self, const at::Tensor& other) {
  TORCH_CHECK(self.dim() == 1 && other.dim() == 1, "1D tensors expected, but got ", self.dim(), "D and ", other.dim(),
              "D tensors");
  TORCH_CHECK(self.scalar_type() == other.scalar_type(), "dot : expected both vectors to have same dtype, but found ",
              self.scalar_type(), " and ", other.scalar_type());
  TORCH_CHECK(self.numel() == other.numel(), "inconsistent tensor size, expected tensor [", self.numel(), "] and src [",
              other.numel(), "] to have the same number of elements, but got ", self.numel(), " and ", other.numel(),
              " elements respectively");
  const at::Tensor out = empty_device({1, 1}, self.scalar_type(), self.device());
  gemm(out, self.unsqueeze(0), other.unsqueeze(1), {}, 0, 1);
  return out.view(c10::IntArrayRef());
}

at::Tensor addbmm(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta,
                  const at::Scalar& alpha) {
  const at::Tensor product = batch1.bmm(batch2).sum(0);
  return beta.toDouble() == 0 ? product.mul(alpha) : self.mul(beta).add(product, alpha);
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("mm", mm);
  library.impl("mm.out", mm_out);
  library.impl("bmm.out", bmm_out);
  library.impl("addmm.out", addmm_out);
  library.impl("baddbmm.out", baddbmm_out);
  library.impl("addmv.out", addmv_out);
  library.impl("dot", dot);
  library.impl("vdot", dot);
  library.impl("addbmm", addbmm);
}
