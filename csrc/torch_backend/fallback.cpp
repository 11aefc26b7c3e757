// The boxed kernel of every PrivateUse1 operator that has none of its own.
#include "torch_backend/fallback.h"

#include <ATen/native/CPUFallback.h>
#include <torch/library.h>

#include <cstdlib>
#include <mutex>
#include <sstream>
#include <string_view>

#include "runtime/checking.h"
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
      text << separator << tensor.scalar_type() << tensor.sizes() << " on " << tensor.device();
      separator = ", ";
    } else if (argument.isTensorList()) {
      text << separator << "a list of " << argument.toTensorVector().size() << " tensors";
      separator = ", ";
    }
  }
  return text.str();
}

void fallback(const c10::OperatorHandle& operation, c10::DispatchKeySet, torch::jit::Stack* stack) {
  const std::string name = c10::toString(operation.operator_name());
  if (restore_displaced(name)) {
    operation.callBoxed(stack);
    return;
  }
  const c10::ArrayRef<c10::IValue> arguments = torch::jit::last(*stack, operation.schema().arguments().size());
  TORCH_CHECK_NOT_IMPLEMENTED(
      cpu_fallback_allowed(), "Unimplemented: ", name, " has no mtia_sim kernel (called with ",
      describe_tensors(arguments),
      "); compute it on the CPU with tensor.cpu(), set MTIA_SIM_CPU_FALLBACK=1 to let mtia_sim do that for every such "
      "operator, or add a kernel (CONTRIBUTING.md, \"how to add an operator\")");
  bool first = false;
  {
    const std::lock_guard lock(counts_mutex());
    first = ++counts()[name] == 1;
  }
  if (first)
    TORCH_WARN(name, " runs on the CPU (MTIA_SIM_CPU_FALLBACK=1); torch.mtia_sim.fallbacks() counts such calls");
  const runtime::MovingScope moving;  // outputs travel to the CPU with the inputs
  at::native::cpu_fallback(operation, stack, /*error_on_views=*/true);
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

TORCH_LIBRARY_IMPL(_, PrivateUse1, library) {
  library.fallback(torch::CppFunction::makeFromBoxedFunction<&mtia::torch_backend::fallback>());
}
