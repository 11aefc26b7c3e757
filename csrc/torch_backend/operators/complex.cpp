// Operands of complex element-wise calls as pairs of real numbers; conj_physical, and complex numbers made of real
// ones.
#include "torch_backend/operators/complex.h"

#include <ATen/ExpandUtils.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/neg.h>
#include <ATen/ops/view_as_real.h>
#include <torch/library.h>

#include <vector>

#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

using OperandList = c10::ArrayRef<ElementwiseOperand>;

// How an operand comes to the kernel (kernels/triton/complex_elementwise.py).
enum class Kind : int64_t { pair, real, raw, number };

bool is_number(const ElementwiseOperand& operand) {
  return operand.tensor == nullptr || (operand.tensor->dim() == 0 && operand.tensor->is_cpu());
}

// The tensors of the operands, dense in one order of elements, and the shape and strides of the result.
struct Operands {
  std::vector<at::Tensor> tensors;
  c10::SmallVector<int64_t, 6> sizes;
  c10::SmallVector<int64_t, 6> strides;

  explicit Operands(OperandList operands) {
    for (const ElementwiseOperand& operand : operands) {
      if (is_number(operand)) continue;
      tensors.push_back(*operand.tensor);
      const std::vector<int64_t> joined = at::infer_size(sizes, operand.tensor->sizes());
      sizes.assign(joined.begin(), joined.end());
    }
    const bool alike = std::all_of(tensors.begin(), tensors.end(), [&](const at::Tensor& tensor) {
      return tensor.is_non_overlapping_and_dense() && tensor.sizes().equals(tensors.front().sizes()) &&
             tensor.strides().equals(tensors.front().strides());
    });
    if (alike && !tensors.empty()) {
      strides.assign(tensors.front().strides().begin(), tensors.front().strides().end());
      return;
    }
    for (at::Tensor& tensor : tensors) tensor = tensor.expand(sizes).contiguous();
    strides.resize(sizes.size());
    int64_t stride = 1;
    for (size_t dim = sizes.size(); dim-- > 0; stride *= std::max<int64_t>(sizes[dim], 1)) strides[dim] = stride;
  }
};

void launch(const KernelId& kernel, const at::Tensor& out, OperandList operands, c10::ArrayRef<at::Tensor> tensors,
            c10::ScalarType compute) {
  if (out.numel() == 0) return;
  KernelCall call(kernel, out.device().index());
  call.operand(out);
  call.dtype(c10::toRealValueType(out.scalar_type()));
  call.size(out.numel()).size(out.is_complex());
  size_t next = 0;
  for (const ElementwiseOperand& operand : operands) {
    if (is_number(operand)) {
      const c10::complex<double> number =
          (operand.tensor != nullptr ? operand.tensor->item() : operand.number).toComplexDouble();
      call.dtype_code(scalar_dtype);
      call.size(static_cast<int64_t>(Kind::number));
      call.scalar(number.real()).scalar(number.imag());
      continue;
    }
    const at::Tensor& tensor = tensors[next++];
    call.operand(tensor);
    call.dtype(c10::toRealValueType(tensor.scalar_type()));
    call.size(static_cast<int64_t>(operand.keeps_dtype ? Kind::raw : tensor.is_complex() ? Kind::pair : Kind::real));
  }
  call.dtype(c10::toRealValueType(compute));
  call.launch();
}

at::Tensor& conj_physical_out(const at::Tensor& self, at::Tensor& out) {
  check_output("conj_physical", out, self.scalar_type(), self.device());
  check_separate(out, {self});
  at::native::resize_output(out, self.sizes());
  if (!self.is_complex()) return out.copy_(self);
  const at::Tensor from = at::view_as_real(self);
  const at::Tensor to = at::view_as_real(out);
  to.select(-1, 0).copy_(from.select(-1, 0));
  to.select(-1, 1).copy_(at::neg(from.select(-1, 1)));
  return out;
}

at::Tensor& conj_physical_(at::Tensor& self) { return conj_physical_out(self, self); }

// A complex tensor of two real ones, by the kernel's expression.
at::Tensor& from_parts(const KernelId& kernel, const at::Tensor& first, const at::Tensor& second, at::Tensor& out) {
  const c10::ScalarType dtype = first.scalar_type();
  TORCH_CHECK(dtype == c10::kFloat || dtype == c10::kDouble || dtype == c10::kHalf,
              "Expected both inputs to be Half, Float or Double tensors but got ", dtype, " and ",
              second.scalar_type());
  TORCH_CHECK(dtype == second.scalar_type(), "Expected object of scalar type ", dtype, " but got scalar type ",
              second.scalar_type(), " for second argument");
  const c10::ScalarType result = c10::toComplexType(dtype);
  TORCH_CHECK(out.scalar_type() == result, "Expected object of scalar type ", result, " but got scalar type ",
              out.scalar_type(), " for argument 'out'");
  complex_elementwise(kernel, out, /*resizes=*/true, {first, second}, result, result);
  return out;
}

at::Tensor& complex_out(const at::Tensor& real, const at::Tensor& imaginary, at::Tensor& out) {
  const OperatorScope scope("complex");
  static const KernelId kernel("complex.complex");
  return from_parts(kernel, real, imaginary, out);
}

at::Tensor& polar_out(const at::Tensor& magnitude, const at::Tensor& angle, at::Tensor& out) {
  const OperatorScope scope("polar");
  static const KernelId kernel("complex.polar");
  return from_parts(kernel, magnitude, angle, out);
}

}  // namespace

at::Tensor complex_elementwise(const KernelId& kernel, const at::Tensor& out, bool resizes, OperandList operands,
                               c10::ScalarType compute, c10::ScalarType result) {
  const Operands dense(operands);
  if (dense.tensors.empty()) {
    // A number alone: as often as an element is written, it is the same.
    const at::Tensor view = without_repeats(out);
    if (!view.is_same(out)) {
      complex_elementwise(kernel, view, /*resizes=*/false, operands, compute, result);
      return out;
    }
  }
  const bool given = out.defined();
  const c10::Device device = dense.tensors.empty() ? out.device() : dense.tensors.front().device();
  const c10::IntArrayRef sizes = dense.tensors.empty() ? out.sizes() : c10::IntArrayRef(dense.sizes);
  if (given) {
    check_same_device("the output", device, out);
    for (const ElementwiseOperand& operand : operands) {
      if (!is_number(operand)) at::assert_no_partial_overlap(out, *operand.tensor);
    }
    if (resizes) at::native::resize_output(out, sizes);
    TORCH_CHECK(out.sizes().equals(sizes), "output with shape ", out.sizes(), " doesn't match the broadcast shape ",
                sizes);
  }
  for (const at::Tensor& tensor : dense.tensors) check_same_device("an operand", device, tensor);
  const bool direct = given && out.scalar_type() == result &&
                      (dense.tensors.empty() ? out.is_contiguous() : out.strides().equals(dense.strides));
  const at::Tensor computed = direct                  ? out
                              : dense.tensors.empty() ? empty_device(sizes, result, device)
                                                      : empty_device_strided(sizes, dense.strides, result, device);
  launch(kernel, computed, operands, dense.tensors, compute);
  if (given && !direct) out.copy_(computed);
  return given ? out : computed;
}

}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("conj_physical.out", conj_physical_out);
  library.impl("conj_physical_", conj_physical_);
  library.impl("complex.out", complex_out);
  library.impl("polar.out", polar_out);
}
