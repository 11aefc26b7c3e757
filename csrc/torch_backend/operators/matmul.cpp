// Matrix products as ATen has them; products.h computes them all.
#include <ATen/ExpandUtils.h>
#include <ATen/ops/addmm_meta.h>
#include <ATen/ops/addmv_meta.h>
#include <ATen/ops/addr_native.h>
#include <ATen/ops/baddbmm_meta.h>
#include <ATen/ops/bmm_meta.h>
#include <ATen/ops/mm_meta.h>
#include <ATen/ops/result_type.h>
#include <torch/library.h>

#include "torch_backend/operators/output_checks.h"
#include "torch_backend/operators/products.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

template <typename Call>
void run_mm(Call& call, const at::Tensor& self, const at::Tensor& mat2) {
  call.meta(self, mat2);
  TORCH_CHECK(self.scalar_type() == mat2.scalar_type(),
              "expected m1 and m2 to have the same dtype, but got: ", self.scalar_type(), " != ", mat2.scalar_type());
  matrix_product("mm", call.output(), self, mat2, {}, 0, 1);
}

at::Tensor& mm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  WithOutputs<at::meta::structured_mm> call(out);
  run_mm(call, self, mat2);
  call.finish();
  return out;
}

at::Tensor mm(const at::Tensor& self, const at::Tensor& mat2) {
  at::Tensor out;
  WithOutputs<at::meta::structured_mm> call(out);
  run_mm(call, self, mat2);
  return call.output();
}

at::Tensor& bmm_out(const at::Tensor& self, const at::Tensor& mat2, at::Tensor& out) {
  WithOutputs<at::meta::structured_bmm> call(out);
  call.meta(self, mat2);
  TORCH_CHECK(self.scalar_type() == mat2.scalar_type(),
              "expected both batches to have the same dtype, but got: ", self.scalar_type(),
              " != ", mat2.scalar_type());
  matrix_product("bmm", call.output(), self, mat2, {}, 0, 1);
  call.finish();
  return out;
}

void check_addend(const char* name, const at::Tensor& self, const at::Tensor& first, const at::Tensor& second) {
  TORCH_CHECK(self.scalar_type() == first.scalar_type() && self.scalar_type() == second.scalar_type(), name,
              ": input tensors must have the same dtype, but got ", self.scalar_type(), ", ", first.scalar_type(),
              ", and ", second.scalar_type());
}

at::Tensor& addmm_out(const at::Tensor& self, const at::Tensor& mat1, const at::Tensor& mat2, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  WithOutputs<at::meta::structured_addmm> call(out);
  call.meta(self, mat1, mat2, beta, alpha);
  check_addend("addmm", self, mat1, mat2);
  check_separate(out, {self, mat1, mat2});
  const at::Tensor& result = call.output();
  matrix_product("addmm", result, mat1, mat2, self.expand(result.sizes()), beta, alpha);
  call.finish();
  return out;
}

at::Tensor& baddbmm_out(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2,
                        const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  WithOutputs<at::meta::structured_baddbmm> call(out);
  call.meta(self, batch1, batch2, beta, alpha);
  check_addend("baddbmm", self, batch1, batch2);
  check_separate(out, {self, batch1, batch2});
  const at::Tensor& result = call.output();
  matrix_product("baddbmm", result, batch1, batch2, self.expand(result.sizes()), beta, alpha);
  call.finish();
  return out;
}

at::Tensor& addmv_out(const at::Tensor& self, const at::Tensor& mat, const at::Tensor& vec, const at::Scalar& beta,
                      const at::Scalar& alpha, at::Tensor& out) {
  WithOutputs<at::meta::structured_addmv> call(out);
  call.meta(self, mat, vec, beta, alpha);
  check_addend("addmv", self, mat, vec);
  check_separate(out, {self, mat, vec});
  const at::Tensor& result = call.output();
  matrix_product("addmv", result.unsqueeze(1), mat, vec.unsqueeze(1), self.expand(result.sizes()).unsqueeze(1), beta,
                 alpha);
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
  matrix_product("dot", out, self.unsqueeze(0), other.unsqueeze(1), {}, 0, 1);
  return out.view(c10::IntArrayRef());
}

at::Tensor vdot(const at::Tensor& self, const at::Tensor& other) {
  return torch_backend::dot(self.is_complex() ? self.conj() : self, other);
}

// A sum of products is one product: the batches follow each other along k.
at::Tensor& addbmm_out(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2,
                       const at::Scalar& beta, const at::Scalar& alpha, at::Tensor& out) {
  TORCH_CHECK(batch1.dim() == 3 && batch2.dim() == 3, "batch1 and batch2 must be 3D tensors, got ", batch1.dim(),
              "D and ", batch2.dim(), "D");
  TORCH_CHECK(batch1.size(0) == batch2.size(0), "batch1 and batch2 must have same number of batches, got ",
              batch1.size(0), " and ", batch2.size(0));
  TORCH_CHECK(batch1.size(2) == batch2.size(1), "Incompatible matrix sizes for bmm (", batch1.size(1), "x",
              batch1.size(2), " and ", batch2.size(1), "x", batch2.size(2), ")");
  check_addend("addbmm", self, batch1, batch2);
  TORCH_CHECK(out.scalar_type() == self.scalar_type(), "Expected out tensor to have dtype ", self.scalar_type(),
              ", but got ", out.scalar_type(), " instead");
  const std::array<int64_t, 2> sizes{batch1.size(1), batch2.size(2)};
  const int64_t depth = batch1.size(0) * batch1.size(2);
  const at::Tensor addend = self.expand(sizes);
  const at::Tensor left = batch1.transpose(0, 1).reshape({sizes[0], depth});
  const at::Tensor right = batch2.reshape({depth, sizes[1]});
  check_same_device("addbmm", self.device(), out);
  check_separate(out, {self, batch1, batch2});
  at::native::resize_output(out, sizes);
  matrix_product("addbmm", out, left, right, addend, beta, alpha);
  return out;
}

at::Tensor& addbmm_(at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta,
                    const at::Scalar& alpha) {
  TORCH_CHECK(batch1.dim() != 3 || batch2.dim() != 3 || self.sizes().equals({batch1.size(1), batch2.size(2)}),
              "addbmm_: the product has sizes [", batch1.size(1), ", ", batch2.size(-1), "], the tensor ",
              self.sizes());
  return addbmm_out(self, batch1, batch2, beta, alpha, self);
}

at::Tensor addbmm(const at::Tensor& self, const at::Tensor& batch1, const at::Tensor& batch2, const at::Scalar& beta,
                  const at::Scalar& alpha) {
  at::Tensor out = empty_device({0}, self.scalar_type(), self.device());
  return addbmm_out(self, batch1, batch2, beta, alpha, out);
}

// torch's formula for other devices takes fractions of integers, its kernel for the CPU does not.
void check_addr(const at::Tensor& self, const at::Tensor& vec1, const at::Tensor& vec2, const at::Scalar& beta,
                const at::Scalar& alpha) {
  for (const auto& [name, vector] : {std::pair("vec1", &vec1), std::pair("vec2", &vec2)}) {
    TORCH_CHECK(vector->dim() == 1, "addr: Expected 1-D argument ", name, ", but got ", vector->dim(), "-D");
  }
  TORCH_CHECK(self.dim() <= 2, "addr: expected a tensor of at most 2 dimensions, but got sizes ", self.sizes());
  const c10::ScalarType dtype = c10::promoteTypes(at::result_type(vec1, vec2), self.scalar_type());
  for (const auto& [name, factor] : {std::pair("beta", beta), std::pair("alpha", alpha)}) {
    TORCH_CHECK(!factor.isBoolean() || dtype == c10::kBool, "Boolean ", name, " only supported for Boolean results.");
    TORCH_CHECK(!c10::isIntegralType(dtype, /*includeBool=*/true) || factor.isIntegral(/*includeBool=*/true),
                "For integral input tensors, argument ", name, " must not be a floating point number.");
    TORCH_CHECK(c10::isComplexType(dtype) || !factor.isComplex(), "For non-complex input tensors, argument ", name,
                " must not be a complex number.");
  }
}

at::Tensor addr(const at::Tensor& self, const at::Tensor& vec1, const at::Tensor& vec2, const at::Scalar& beta,
                const at::Scalar& alpha) {
  check_addr(self, vec1, vec2, beta, alpha);
  return at::native::math_addr(self, vec1, vec2, beta, alpha);
}

at::Tensor& addr_out(const at::Tensor& self, const at::Tensor& vec1, const at::Tensor& vec2, const at::Scalar& beta,
                     const at::Scalar& alpha, at::Tensor& out) {
  check_addr(self, vec1, vec2, beta, alpha);
  check_same_device("addr", self.device(), out);
  check_separate(out, {self, vec1, vec2});
  return at::native::math_addr_out(self, vec1, vec2, beta, alpha, out);
}

at::Tensor& addr_(at::Tensor& self, const at::Tensor& vec1, const at::Tensor& vec2, const at::Scalar& beta,
                  const at::Scalar& alpha) {
  TORCH_CHECK(vec1.dim() != 1 || vec2.dim() != 1 || self.sizes().equals({vec1.numel(), vec2.numel()}),
              "addr_: the product has sizes [", vec1.numel(), ", ", vec2.numel(), "], the tensor ", self.sizes());
  return addr_out(self, vec1, vec2, beta, alpha, self);
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
  library.impl("dot", mtia::torch_backend::dot);
  library.impl("vdot", mtia::torch_backend::vdot);
  library.impl("addbmm", mtia::torch_backend::addbmm);
  library.impl("addbmm_", addbmm_);
  library.impl("addbmm.out", addbmm_out);
  library.impl("addr", mtia::torch_backend::addr);
  library.impl("addr_", addr_);
  library.impl("addr.out", addr_out);
}
