// torch's refusal of tensors that lie on different devices. Most operators have it from a TensorIterator or from what
// they launch; the guards here are for torch's own code that runs above the device's stubs, and would take a stub, or
// make results, by its first tensor's device alone.
#pragma once

#include <ATen/core/Tensor.h>
#include <c10/core/Device.h>
#include <torch/library.h>

#include <optional>
#include <string>
#include <type_traits>
#include <typeinfo>
#include <utility>

namespace mtia::torch_backend {

// Raises RuntimeError where the tensor is not on `device`; an undefined one lies everywhere.
void check_same_device(const char* operation, c10::Device device, const at::TensorBase& tensor);

// The same for all tensors among the arguments of an operator, whose name is asked for where it refuses.
template <typename Name, typename... Arguments>
void check_one_device(const Name& name, const Arguments&... arguments) {
  const at::TensorBase* first = nullptr;
  const auto check_tensor = [&](const at::TensorBase& tensor) {
    if (!tensor.defined()) return;
    if (first == nullptr) first = &tensor;
    if (tensor.device() != first->device()) check_same_device(name().c_str(), first->device(), tensor);
  };
  const auto check = [&]<typename Argument>(const Argument& argument) {
    if constexpr (std::is_base_of_v<at::TensorBase, Argument>) {
      check_tensor(argument);
    } else if constexpr (std::is_same_v<Argument, std::optional<at::Tensor>> ||
                         std::is_same_v<Argument, at::OptionalTensorRef>) {
      if (argument.has_value()) check_tensor(*argument);
    }
  };
  (check(arguments), ...);
}

template <auto function, typename = decltype(function)>
struct OnOneDevice;

template <auto function, typename Result, typename... Arguments>
struct OnOneDevice<function, Result (*)(Arguments...)> {
  inline static const char* name = nullptr;
  static Result call(Arguments... arguments) {
    check_one_device([] { return std::string(name); }, arguments...);
    return function(std::forward<Arguments>(arguments)...);
  }
};

// "linalg_cross" of at::native::structured_linalg_cross_out.
std::string operator_of_structured(const std::type_info& type);

// Registers a function of torch's own, behind that check.
template <auto function>
void impl_on_one_device(torch::Library& library, const char* name) {
  OnOneDevice<function>::name = name;
  library.impl(name, OnOneDevice<function>::call);
}

}  // namespace mtia::torch_backend
