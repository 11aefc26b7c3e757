// The random generator of a device: Philox 4x32-10, whose whole state is a seed and the number of counters already
// used.
#pragma once

#include <ATen/core/Generator.h>
#include <ATen/core/TensorBase.h>
#include <c10/core/GeneratorImpl.h>

#include <cstdint>
#include <memory>
#include <optional>

namespace mtia::torch_backend {

struct PhiloxState {
  uint64_t seed = 0;
  uint64_t offset = 0;
};

// Refuses a generator that is not of the tensor's device, and a tensor that is not of this one: a device generator
// brings CPU tensors to the device's kernels. Every random operator calls it before it writes or draws.
void check_generator(const at::TensorBase& self, const std::optional<at::Generator>& generator);

// Reserves `increment` offsets of the generator (the device's default one when absent) and returns the state before.
// The generator was checked.
PhiloxState reserve_philox(const std::optional<at::Generator>& generator, c10::DeviceIndex device, uint64_t increment);

const at::Generator& default_generator(c10::DeviceIndex device);
at::Generator new_generator(c10::DeviceIndex device);

class GeneratorImpl final : public c10::GeneratorImpl {
 public:
  explicit GeneratorImpl(c10::DeviceIndex device);

  void set_current_seed(uint64_t seed) override;
  uint64_t current_seed() const override { return state_->seed; }
  uint64_t seed() override;
  void set_offset(uint64_t offset) override { state_->offset = offset; }
  uint64_t get_offset() const override { return state_->offset; }
  // A CPU tensor of 16 bytes: seed and offset, little endian.
  void set_state(const c10::TensorImpl& state) override;
  c10::intrusive_ptr<c10::TensorImpl> get_state() const override;

  // A generator that draws on: from the same seed and offset, whichever of both is drawn from. Compiled functions keep
  // the state of a forward pass for its recomputation so.
  void graphsafe_set_state(const c10::intrusive_ptr<c10::GeneratorImpl>& state) override;
  c10::intrusive_ptr<c10::GeneratorImpl> graphsafe_get_state() const override;

  PhiloxState reserve(uint64_t increment);
  static c10::DeviceType device_type() { return c10::DeviceType::PrivateUse1; }

 private:
  GeneratorImpl* clone_impl() const override;

  std::shared_ptr<PhiloxState> state_ = std::make_shared<PhiloxState>();
};

}  // namespace mtia::torch_backend
