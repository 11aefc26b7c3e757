// torch's refusal of tensors that lie on different devices.
#pragma once

#include <ATen/core/TensorBase.h>
#include <c10/core/Device.h>

namespace mtia::torch_backend {

// Raises RuntimeError where the tensor is not on `device`; an undefined one lies everywhere.
void check_same_device(const char* operation, c10::Device device, const at::TensorBase& tensor);

}  // namespace mtia::torch_backend
