// Element-wise operators that keep zero: torch's own, which compute with the tensor of values of a sparse one.
#include <ATen/core/Tensor.h>
#include <ATen/ops/abs_native.h>
#include <ATen/ops/asin_native.h>
#include <ATen/ops/asinh_native.h>
#include <ATen/ops/atan_native.h>
#include <ATen/ops/atanh_native.h>
#include <ATen/ops/ceil_native.h>
#include <ATen/ops/deg2rad_native.h>
#include <ATen/ops/erf_native.h>
#include <ATen/ops/erfinv_native.h>
#include <ATen/ops/expm1_native.h>
#include <ATen/ops/floor_native.h>
#include <ATen/ops/frac_native.h>
#include <ATen/ops/isinf_native.h>
#include <ATen/ops/isnan_native.h>
#include <ATen/ops/isneginf_native.h>
#include <ATen/ops/isposinf_native.h>
#include <ATen/ops/log1p_native.h>
#include <ATen/ops/neg_native.h>
#include <ATen/ops/pow_native.h>
#include <ATen/ops/rad2deg_native.h>
#include <ATen/ops/relu_native.h>
#include <ATen/ops/round_native.h>
#include <ATen/ops/sgn_native.h>
#include <ATen/ops/sign_native.h>
#include <ATen/ops/signbit_native.h>
#include <ATen/ops/sin_native.h>
#include <ATen/ops/sinh_native.h>
#include <ATen/ops/sqrt_native.h>
#include <ATen/ops/tan_native.h>
#include <ATen/ops/tanh_native.h>
#include <ATen/ops/trunc_native.h>
#include <torch/library.h>

// Operators that return a new tensor, write one that is given, and change their own.
#define MTIA_SPARSE_THREE_FORMS(X) \
  X(abs)                           \
  X(asin)                          \
  X(asinh)                         \
  X(atan)                          \
  X(atanh)                         \
  X(ceil)                          \
  X(deg2rad)                       \
  X(erf)                           \
  X(erfinv)                        \
  X(expm1)                         \
  X(floor)                         \
  X(frac)                          \
  X(log1p)                         \
  X(rad2deg)                       \
  X(round)                         \
  X(sgn)                           \
  X(sign)                          \
  X(sin)                           \
  X(sinh)                          \
  X(sqrt)                          \
  X(tan)                           \
  X(tanh)                          \
  X(trunc)

// Without the last form.
#define MTIA_SPARSE_TWO_FORMS(X) X(isneginf) X(isposinf) X(signbit)

#define MTIA_REGISTER_TWO(name, layout)                    \
  library.impl(#name, TORCH_FN(at::native::name##layout)); \
  library.impl(#name ".out", TORCH_FN(at::native::name##layout##_out));

#define MTIA_REGISTER_THREE(name, layout) \
  MTIA_REGISTER_TWO(name, layout)         \
  library.impl(#name "_", TORCH_FN(at::native::name##layout##_));

#define MTIA_REGISTER_COO_TWO(name) MTIA_REGISTER_TWO(name, _sparse)
#define MTIA_REGISTER_COO_THREE(name) MTIA_REGISTER_THREE(name, _sparse)
#define MTIA_REGISTER_COMPRESSED_TWO(name) MTIA_REGISTER_TWO(name, _sparse_csr)
#define MTIA_REGISTER_COMPRESSED_THREE(name) MTIA_REGISTER_THREE(name, _sparse_csr)

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, library) {
  MTIA_SPARSE_THREE_FORMS(MTIA_REGISTER_COO_THREE)
  MTIA_SPARSE_TWO_FORMS(MTIA_REGISTER_COO_TWO)
  library.impl("isinf", TORCH_FN(at::native::isinf_sparse));
  library.impl("isnan", TORCH_FN(at::native::isnan_sparse));
  library.impl("neg", TORCH_FN(at::native::neg_sparse));
  library.impl("neg_", TORCH_FN(at::native::neg_sparse_));
  library.impl("neg.out", TORCH_FN(at::native::neg_out_sparse));
  library.impl("relu", TORCH_FN(at::native::relu_sparse));
  library.impl("relu_", TORCH_FN(at::native::relu_sparse_));
  library.impl("pow.Tensor_Scalar", TORCH_FN(at::native::pow_sparse_scalar));
}

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, library) {
  MTIA_SPARSE_THREE_FORMS(MTIA_REGISTER_COMPRESSED_THREE)
  MTIA_SPARSE_TWO_FORMS(MTIA_REGISTER_COMPRESSED_TWO)
  MTIA_REGISTER_COMPRESSED_THREE(neg)
  library.impl("isinf", TORCH_FN(at::native::isinf_sparse_csr));
  library.impl("isnan", TORCH_FN(at::native::isnan_sparse_csr));
  library.impl("relu", TORCH_FN(at::native::relu_sparse_csr));
  library.impl("relu_", TORCH_FN(at::native::relu_sparse_csr_));
}
