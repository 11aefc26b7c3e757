// torch._assert_async: nobody waits for the value; a zero is an error of the next call that waits for the device.
#include <ATen/ops/ne.h>
#include <torch/library.h>

#include <mutex>
#include <set>
#include <string>

#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"

namespace mtia::torch_backend {
namespace {

// Operators' names live as long as the process; a message stands where the name of an operator would.
const char* kept(c10::string_view message) {
  static std::mutex mutex;
  static std::set<std::string> messages;
  const std::lock_guard lock(mutex);
  return messages.emplace(message).first->c_str();
}

void launch_assertion(const at::Tensor& self) {
  static const KernelId kernel("assert_nonzero");
  TORCH_CHECK(self.numel() != 0, "Boolean value of Tensor with no values is ambiguous");
  TORCH_CHECK(self.numel() == 1, "Boolean value of Tensor with more than one value is ambiguous");
  const at::Tensor value = self.is_complex() ? self.ne(0) : self;
  launch_kernel(kernel, {value}, {});
}

void assert_async(const at::Tensor& self) {
  const OperatorScope scope("_assert_async");
  launch_assertion(self);
}

void assert_async_with_message(const at::Tensor& self, c10::string_view message) {
  const OperatorScope scope(kept(message));
  launch_assertion(self);
}

at::Tensor functional_assert_async(const at::Tensor& self, c10::string_view message, const at::Tensor& token) {
  assert_async_with_message(self, message);
  return token.clone();
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_assert_async", assert_async);
  library.impl("_assert_async.msg", assert_async_with_message);
  library.impl("_functional_assert_async.msg", functional_assert_async);
}
