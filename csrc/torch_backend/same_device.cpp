// The message is torch's, so that what looks for it there finds it here.
#include "torch_backend/same_device.h"

#include <c10/util/Exception.h>

namespace mtia::torch_backend {

void check_same_device(const char* operation, c10::Device device, const at::TensorBase& tensor) {
  TORCH_CHECK(!tensor.defined() || tensor.device() == device,
              "Expected all tensors to be on the same device, but found at least two devices, ", device, " and ",
              tensor.device(), "! (", operation, "; move it with .to('", device, "'))");
}

}  // namespace mtia::torch_backend
