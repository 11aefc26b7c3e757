// Automatic mixed precision: which dtype each operator computes in under torch.autocast("mtia_sim"), with the lists of
// CUDA.
//
// The policies are boxed: one function serves all operators of a list, found by its schema.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <torch/library.h>

#include <algorithm>
#include <string>
#include <vector>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"

// From ATen/autocast_mode.h, which includes all of ATen.
namespace at::autocast {
TORCH_API at::ScalarType get_autocast_dtype(at::DeviceType device_type);
TORCH_API at::Tensor cached_cast(at::ScalarType to_type, const at::Tensor& tensor, at::DeviceType device_type);
}  // namespace at::autocast

namespace mtia::torch_backend {
namespace {

using c10::IValue;

// Inputs of these are cast to autocast's dtype: their time goes into the dot product engine.
constexpr const char* lower_precision_operators[] = {"_convolution",
                                                     "_convolution.deprecated",
                                                     "conv1d",
                                                     "conv2d",
                                                     "conv3d",
                                                     "conv_tbc",
                                                     "conv_transpose1d",
                                                     "conv_transpose2d.input",
                                                     "conv_transpose3d.input",
                                                     "convolution",
                                                     "prelu",
                                                     "addmm",
                                                     "addmv",
                                                     "addr",
                                                     "matmul",
                                                     "einsum",
                                                     "mm",
                                                     "mv",
                                                     "linalg_vecdot",
                                                     "linear",
                                                     "addbmm",
                                                     "baddbmm",
                                                     "bmm",
                                                     "chain_matmul",
                                                     "linalg_multi_dot",
                                                     "_thnn_fused_lstm_cell",
                                                     "_thnn_fused_gru_cell",
                                                     "lstm_cell",
                                                     "gru_cell",
                                                     "rnn_tanh_cell",
                                                     "rnn_relu_cell",
                                                     "_scaled_dot_product_flash_attention",
                                                     "scaled_dot_product_attention"};

// Inputs of these are cast to float32: they lose too much otherwise.
constexpr const char* float32_operators[] = {"acos",
                                             "asin",
                                             "cosh",
                                             "erfinv",
                                             "exp",
                                             "expm1",
                                             "log",
                                             "log10",
                                             "log2",
                                             "log1p",
                                             "reciprocal",
                                             "rsqrt",
                                             "sinh",
                                             "tan",
                                             "pow.Tensor_Scalar",
                                             "pow.Tensor_Tensor",
                                             "pow.Scalar",
                                             "softplus",
                                             "layer_norm",
                                             "native_layer_norm",
                                             "rms_norm",
                                             "group_norm",
                                             "frobenius_norm.dim",
                                             "nuclear_norm",
                                             "nuclear_norm.dim",
                                             "cosine_similarity",
                                             "poisson_nll_loss",
                                             "cosine_embedding_loss",
                                             "nll_loss",
                                             "nll_loss2d",
                                             "hinge_embedding_loss",
                                             "kl_div",
                                             "l1_loss",
                                             "smooth_l1_loss",
                                             "huber_loss",
                                             "mse_loss",
                                             "margin_ranking_loss",
                                             "multilabel_margin_loss",
                                             "soft_margin_loss",
                                             "triplet_margin_loss",
                                             "multi_margin_loss",
                                             "binary_cross_entropy_with_logits",
                                             "dist",
                                             "pdist",
                                             "cdist",
                                             "renorm",
                                             "logsumexp",
                                             "norm.Scalar",
                                             "norm.ScalarOpt_dim",
                                             "upsample_nearest1d",
                                             "_upsample_nearest_exact1d",
                                             "upsample_nearest2d",
                                             "_upsample_nearest_exact2d",
                                             "upsample_nearest3d",
                                             "_upsample_nearest_exact3d",
                                             "upsample_linear1d",
                                             "upsample_bilinear2d",
                                             "_upsample_bilinear2d_aa",
                                             "upsample_trilinear3d",
                                             "upsample_bicubic2d",
                                             "_upsample_bicubic2d_aa"};

// These accumulate in float32 and return it, unless the caller names a dtype.
constexpr const char* float32_result_operators[] = {"prod",
                                                    "prod.dim_int",
                                                    "softmax.int",
                                                    "log_softmax.int",
                                                    "cumprod",
                                                    "cumsum",
                                                    "linalg_vector_norm",
                                                    "linalg_matrix_norm",
                                                    "linalg_matrix_norm.str_ord",
                                                    "sum",
                                                    "sum.dim_IntList"};

// Mixed inputs of these are cast to the widest dtype among them.
constexpr const char* promoting_operators[] = {"addcdiv", "addcmul",      "atan2",     "bilinear",  "cross",      "dot",
                                               "vdot",    "grid_sampler", "index_put", "tensordot", "scatter_add"};

bool is_eligible(const at::Tensor& tensor) {
  return tensor.defined() && tensor.device().type() == device_type && tensor.is_floating_point() &&
         tensor.scalar_type() != at::kDouble;
}

// Applies `function` to every tensor among the arguments, those in lists included, and stores what it returns.
template <typename Function>
void map_tensors(torch::jit::Stack& stack, size_t arguments, Function&& function) {
  for (size_t place = stack.size() - arguments; place < stack.size(); ++place) {
    IValue& argument = stack[place];
    if (argument.isTensor()) {
      argument = function(argument.toTensor());
    } else if (argument.isTensorList()) {
      c10::List<at::Tensor> list;
      for (const at::Tensor& tensor : argument.toTensorVector()) list.push_back(function(tensor));
      argument = list;
    } else if (argument.isOptionalTensorList()) {
      c10::List<std::optional<at::Tensor>> list;
      for (const std::optional<at::Tensor>& tensor : argument.toOptionalTensorVector()) {
        list.push_back(tensor.has_value() ? std::optional(function(*tensor)) : std::nullopt);
      }
      argument = list;
    }
  }
}

void cast_and_call(const c10::OperatorHandle& operation, torch::jit::Stack* stack, at::ScalarType dtype) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastPrivateUse1);
  map_tensors(*stack, operation.schema().arguments().size(),
              [&](const at::Tensor& tensor) { return at::autocast::cached_cast(dtype, tensor, device_type); });
  operation.callBoxed(stack);
}

void lower_precision(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  cast_and_call(operation, stack, at::autocast::get_autocast_dtype(device_type));
}

void float32(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  cast_and_call(operation, stack, at::kFloat);
}

void float32_result(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::DispatchKey::AutocastPrivateUse1);
  const std::vector<c10::Argument>& arguments = operation.schema().arguments();
  const size_t first = stack->size() - arguments.size();
  if ((*stack)[first].isTensor() && is_eligible((*stack)[first].toTensor())) {
    for (size_t i = 0; i < arguments.size(); ++i) {
      if (arguments[i].name() == "dtype" && (*stack)[first + i].isNone()) (*stack)[first + i] = at::kFloat;
    }
  }
  operation.callBoxed(stack);
}

void promote(const c10::OperatorHandle& operation, torch::jit::Stack* stack) {
  at::ScalarType widest = at::autocast::get_autocast_dtype(device_type);
  map_tensors(*stack, operation.schema().arguments().size(), [&](const at::Tensor& tensor) {
    if (is_eligible(tensor)) widest = c10::promoteTypes(widest, tensor.scalar_type());
    return tensor;
  });
  cast_and_call(operation, stack, widest);
}

void refuse_binary_cross_entropy(const c10::OperatorHandle&, torch::jit::Stack*) {
  throw_for_python(
      Unsupported("binary_cross_entropy is unsafe in 16-bit floats", "torch.autocast",
                  "use binary_cross_entropy_with_logits, or compute it under torch.autocast(..., enabled=False)"));
}

}  // namespace

TORCH_LIBRARY_IMPL(_, AutocastPrivateUse1, library) { library.fallback(torch::CppFunction::makeFallthrough()); }

TORCH_LIBRARY_IMPL(aten, AutocastPrivateUse1, library) {
  for (const char* name : lower_precision_operators)
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&lower_precision>());
  for (const char* name : float32_operators) library.impl(name, torch::CppFunction::makeFromBoxedFunction<&float32>());
  for (const char* name : float32_result_operators)
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&float32_result>());
  for (const char* name : promoting_operators)
    library.impl(name, torch::CppFunction::makeFromBoxedFunction<&promote>());
  library.impl("binary_cross_entropy", torch::CppFunction::makeFromBoxedFunction<&refuse_binary_cross_entropy>());
}

}  // namespace mtia::torch_backend
