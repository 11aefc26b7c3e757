// State handling of the generator; the kernels compute the numbers.
#include "torch_backend/generator.h"

#include <ATen/EmptyTensor.h>
#include <ATen/core/Tensor.h>

#include <cstring>
#include <mutex>
#include <vector>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/launching/graph_capture.h"

namespace mtia::torch_backend {
namespace {

constexpr size_t state_bytes = 2 * sizeof(uint64_t);

std::vector<at::Generator>& default_generators() {
  static auto* const generators = [] {
    auto* all = new std::vector<at::Generator>;
    for (c10::DeviceIndex index = 0; index < device_count(); ++index)
      all->push_back(at::make_generator<GeneratorImpl>(index));
    return all;
  }();
  return *generators;
}

}  // namespace

GeneratorImpl::GeneratorImpl(c10::DeviceIndex device)
    : c10::GeneratorImpl(c10::Device(c10::DeviceType::PrivateUse1, device),
                         c10::DispatchKeySet(c10::DispatchKey::PrivateUse1)) {
  state_->seed = c10::default_rng_seed_val;
}

void GeneratorImpl::set_current_seed(uint64_t seed) { *state_ = {seed, 0}; }

uint64_t GeneratorImpl::seed() {
  set_current_seed(c10::detail::getNonDeterministicRandom());
  return state_->seed;
}

void GeneratorImpl::set_state(const c10::TensorImpl& state) {
  if (!state.device().is_cpu() || state.dtype() != caffe2::TypeMeta::Make<uint8_t>() || !state.is_contiguous() ||
      static_cast<size_t>(state.numel()) != state_bytes) {
    throw_for_python(InvalidArgument(
        concat("a generator state of ", state.numel(), " elements of ", state.dtype().name(), " on ",
               state.device().str()),
        "Generator.set_state",
        concat("pass what get_state returned: a contiguous uint8 CPU tensor of ", state_bytes, " bytes")));
  }
  std::memcpy(state_.get(), state.data(), state_bytes);
}

c10::intrusive_ptr<c10::TensorImpl> GeneratorImpl::get_state() const {
  at::Tensor state = at::detail::empty_cpu({static_cast<int64_t>(state_bytes)}, at::kByte);
  static_assert(sizeof(PhiloxState) == state_bytes);
  std::memcpy(state.mutable_data_ptr(), state_.get(), state_bytes);
  return state.getIntrusivePtr();
}

void GeneratorImpl::graphsafe_set_state(const c10::intrusive_ptr<c10::GeneratorImpl>& state) {
  const auto* other = dynamic_cast<const GeneratorImpl*>(state.get());
  if (other == nullptr) {
    throw_for_python(InvalidArgument(concat("a state that is a generator on ", state->device().str()),
                                     "Generator.graphsafe_set_state", "pass what graphsafe_get_state returned"));
  }
  state_ = other->state_;
}

c10::intrusive_ptr<c10::GeneratorImpl> GeneratorImpl::graphsafe_get_state() const {
  auto other = c10::make_intrusive<GeneratorImpl>(device().index());
  other->state_ = state_;
  return other;
}

PhiloxState GeneratorImpl::reserve(uint64_t increment) {
  const PhiloxState before = *state_;
  state_->offset += (increment + 3) / 4 * 4;  // a multiple of 4, as CUDA generators keep it
  return before;
}

GeneratorImpl* GeneratorImpl::clone_impl() const {
  auto* copy = new GeneratorImpl(device().index());
  *copy->state_ = *state_;
  return copy;
}

const at::Generator& default_generator(c10::DeviceIndex device) {
  if (device < 0) device = current_device();
  if (device >= device_count()) device_of(device);  // throws
  return default_generators()[static_cast<size_t>(device)];
}

at::Generator new_generator(c10::DeviceIndex device) {
  return at::make_generator<GeneratorImpl>(device < 0 ? current_device() : device);
}

void check_generator(const at::TensorBase& self, const std::optional<at::Generator>& generator) {
  if (!generator.has_value() || !generator->defined()) return;
  const c10::Device device = generator->device();
  TORCH_CHECK(self.device().type() == device.type(), "Expected a '", self.device().type(),
              "' device type for generator but found '", device.type(), "'; make it with torch.Generator(device='",
              self.device().type(), "')");
  TORCH_CHECK(self.device() == device, "Expected a generator on ", self.device(), " but found one on ", device,
              "; make it with torch.Generator(device='", self.device(), "')");
}

PhiloxState reserve_philox(const std::optional<at::Generator>& generator, c10::DeviceIndex device, uint64_t increment) {
  check_not_capturing(device < 0 ? current_device() : device, "a draw of random numbers",
                      "draw them outside of the graph, into a tensor that it reads");
  at::Generator chosen = generator.has_value() && generator->defined() ? *generator : default_generator(device);
  const std::lock_guard lock(chosen.mutex());
  return static_cast<GeneratorImpl*>(chosen.unsafeGetGeneratorImpl())->reserve(increment);
}

}  // namespace mtia::torch_backend
