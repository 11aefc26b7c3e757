// Events in chip time for torch.autograd.profiler without Kineto (use_kineto=False).
#include <torch/csrc/profiler/stubs/base.h>

#include <functional>
#include <memory>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

using torch::profiler::impl::ProfilerVoidEventStub;

struct Stubs final : torch::profiler::impl::ProfilerStubs {
  void record(c10::DeviceIndex* device, ProfilerVoidEventStub* event, int64_t* cpu_nanoseconds) const override {
    const c10::DeviceIndex index = current_device();
    if (device != nullptr) *device = index;
    surfacing_errors([&] {
      *event =
          std::static_pointer_cast<void>(device_of(index).record_event(current_stream_id(index), /*is_free=*/true));
    });
    if (cpu_nanoseconds != nullptr) *cpu_nanoseconds = runtime::host_clock();
  }

  // Microseconds of chip time.
  float elapsed(const ProfilerVoidEventStub* first, const ProfilerVoidEventStub* second) const override {
    const runtime::EventRecord& begin = *static_cast<const runtime::EventRecord*>(first->get());
    const runtime::EventRecord& end = *static_cast<const runtime::EventRecord*>(second->get());
    begin.device->wait(begin.ticket);
    end.device->wait(end.ticket);
    return static_cast<float>((end.chip_seconds - begin.chip_seconds) * 1e6);
  }

  void onEachDevice(std::function<void(int)> operation) const override {
    const c10::DeviceIndex before = current_device();
    for (c10::DeviceIndex index = 0; index < device_count(); ++index) {
      set_device(index);
      operation(index);
    }
    set_device(before);
  }

  void synchronize() const override {
    surfacing_errors([] { device_of(current_device()).synchronize(); });
  }

  bool enabled() const override { return true; }

  // Marks for other tools: there are none.
  void mark(const char*) const override {}
  void rangePush(const char*) const override {}
  void rangePop() const override {}
};

const struct Registration {
  Registration() {
    static Stubs stubs;
    torch::profiler::impl::registerPrivateUse1Methods(&stubs);
  }
} registration;

}  // namespace
}  // namespace mtia::torch_backend
