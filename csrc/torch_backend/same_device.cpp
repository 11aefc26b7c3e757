// The message is torch's, so that what looks for it there finds it here.
#include "torch_backend/same_device.h"

#include <c10/util/Exception.h>
#include <c10/util/Type.h>

#include <string_view>

namespace mtia::torch_backend {

void check_same_device(const char* operation, c10::Device device, const at::TensorBase& tensor) {
  TORCH_CHECK(!tensor.defined() || tensor.device() == device,
              "Expected all tensors to be on the same device, but found at least two devices, ", device, " and ",
              tensor.device(), "! (", operation, "; move it with .to('", device, "'))");
}

std::string operator_of_structured(const std::type_info& type) {
  constexpr std::string_view mark = "structured_", suffix = "_out";
  std::string name = c10::demangle(type.name());
  if (const size_t begin = name.rfind(mark); begin != std::string::npos) name.erase(0, begin + mark.size());
  if (name.ends_with(suffix)) name.resize(name.size() - suffix.size());
  return name;
}

}  // namespace mtia::torch_backend
