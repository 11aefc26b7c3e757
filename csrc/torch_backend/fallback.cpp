// The boxed kernel of every PrivateUse1 operator that has none of its own.
#include "torch_backend/fallback.h"

#include <ATen/native/CPUFallback.h>
#include <torch/library.h>

#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string_view>

#include "runtime/checking.h"
#include "torch_backend/generator.h"
#include "torch_backend/operators/elementwise.h"

namespace mtia::torch_backend {
namespace {

std::mutex& counts_mutex() {
  static std::mutex mutex;
  return mutex;
}

std::map<std::string, uint64_t>& counts() {
  static std::map<std::string, uint64_t> map;
  return map;
}

// Read at each call: it is off the hot path, and a test may set it.
bool cpu_fallback_allowed() {
  const char* value = std::getenv("MTIA_SIM_CPU_FALLBACK");
  return value != nullptr && std::string_view(value) == "1";
}

std::string describe_tensors(c10::ArrayRef<c10::IValue> arguments) {
  std::ostringstream text;
  const char* separator = "";
  for (const c10::IValue& argument : arguments) {
    if (argument.isTensor() && argument.toTensor().defined()) {
      const at::Tensor& tensor = argument.toTensor();
      text << separator << tensor.scalar_type();
      if (!tensor.is_nested()) text << tensor.sizes();
      text << " on " << tensor.device();
      separator = ", ";
    } else if (argument.isTensorList()) {
      text << separator << "a list of " << argument.toTensorVector().size() << " tensors";
      separator = ", ";
    }
  }
  return text.str();
}

// The first tensor of the arguments for which `condition` holds, or none.
template <typename Condition>
const at::Tensor* find_tensor(c10::ArrayRef<c10::IValue> arguments, const Condition& condition) {
  for (const c10::IValue& argument : arguments) {
    if (argument.isTensor() && argument.toTensor().defined() && condition(argument.toTensor()))
      return &argument.toTensor();
  }
  return nullptr;
}

// Whether the CPU has a kernel for it, of its own or composed: what the fallback can run.
bool cpu_has_kernel(const c10::OperatorHandle& operation) {
  return operation.hasComputedKernelForDispatchKey(c10::DispatchKey::CPU);
}

std::string remedy_for(const c10::OperatorHandle& operation, c10::ArrayRef<c10::IValue> arguments) {
  const auto has = [&](auto condition) { return find_tensor(arguments, condition) != nullptr; };
  const std::string& name = operation.operator_name().name;
  const auto speaks_of = [&](std::string_view word) { return name.find(word) != std::string::npos; };
  if (speaks_of("sparse") || has([](const at::Tensor& tensor) { return tensor.layout() != c10::kStrided; }))
    return "of sparse tensors mtia_sim has what docs/compatibility.md lists: convert with tensor.to_dense(), or "
           "compute on "
           "the CPU with tensor.cpu()";
  if (has([](const at::Tensor& tensor) { return tensor.is_nested(); }))
    return "of nested tensors mtia_sim has what CPU torch has; take it apart with unbind(), or pad it with "
           "to_padded_tensor()";
  if (speaks_of("::quantize") || speaks_of("quantized") ||
      has([](const at::Tensor& tensor) { return tensor.is_quantized(); }))
    return "mtia_sim has no quantised tensors: convert with tensor.dequantize(), or keep the quantised part on the CPU";
  if (!cpu_has_kernel(operation)) {
    return "the CPU has no kernel for it either, so MTIA_SIM_CPU_FALLBACK=1 cannot help: it is the inside of another "
           "backend's fused operator; write the same in ordinary operators, or add a kernel (CONTRIBUTING.md, \"how to "
           "add an operator\")";
  }
  const std::string fall_back =
      "compute it on the CPU with tensor.cpu(), set MTIA_SIM_CPU_FALLBACK=1 to let mtia_sim do that for every such "
      "operator, or add a kernel (CONTRIBUTING.md, \"how to add an operator\")";
  if (has([](const at::Tensor& tensor) { return tensor.is_complex(); }))
    return "for complex numbers, use real and imaginary parts, torch.view_as_real(tensor), or " + fall_back;
  return fall_back;
}

// A generator brings CPU tensors here, too.
void check_generators(c10::ArrayRef<c10::IValue> arguments) {
  const at::Tensor* tensor = find_tensor(arguments, [](const at::Tensor&) { return true; });
  for (const c10::IValue& argument : arguments) {
    if (tensor != nullptr && argument.isGenerator()) check_generator(*tensor, argument.toGenerator());
  }
}

void refuse_unless(bool allowed, const c10::OperatorHandle& operation, c10::ArrayRef<c10::IValue> arguments) {
  TORCH_CHECK_NOT_IMPLEMENTED(allowed, "Unimplemented: ", operation.operator_name(),
                              " has no mtia_sim kernel (called with ", describe_tensors(arguments), "); ",
                              remedy_for(operation, arguments));
}

// Of sparse, nested and quantised tensors.
void refuse(const c10::OperatorHandle& operation, c10::DispatchKeySet, torch::jit::Stack* stack) {
  refuse_unless(false, operation, torch::jit::last(*stack, operation.schema().arguments().size()));
}

void fallback(const c10::OperatorHandle& operation, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const std::string name = c10::toString(operation.operator_name());
  if (restore_displaced(name)) {
    operation.callBoxed(stack);
    return;
  }
  const c10::ArrayRef<c10::IValue> arguments = torch::jit::last(*stack, operation.schema().arguments().size());
  check_generators(arguments);
  refuse_unless(cpu_fallback_allowed() && cpu_has_kernel(operation), operation, arguments);
  bool first = false;
  {
    const std::lock_guard lock(counts_mutex());
    first = counts().count(name) == 0;
  }
  if (first)
    TORCH_WARN(name, " runs on the CPU (MTIA_SIM_CPU_FALLBACK=1); torch.mtia_sim.fallbacks() counts such calls");
  const runtime::MovingScope moving;  // outputs travel to the CPU with the inputs
  at::native::cpu_fallback(operation, stack, /*error_on_views=*/true);
  const std::lock_guard lock(counts_mutex());
  ++counts()[name];  // what the CPU refused, or made something of that the device cannot hold, did not run
}

}  // namespace

std::map<std::string, uint64_t> fallback_counts() {
  const std::lock_guard lock(counts_mutex());
  return counts();
}

void reset_fallback_counts() {
  const std::lock_guard lock(counts_mutex());
  counts().clear();
}

}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(_, SparsePrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&mtia::torch_backend::refuse>());
}

TORCH_LIBRARY_IMPL(_, SparseCsrPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&mtia::torch_backend::refuse>());
}

TORCH_LIBRARY_IMPL(_, NestedTensorPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&mtia::torch_backend::refuse>());
}

TORCH_LIBRARY_IMPL(_, QuantizedPrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&mtia::torch_backend::refuse>());
}

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&mtia::torch_backend::fallback>());
}
