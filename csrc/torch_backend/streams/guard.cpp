// Device, stream and event management as PyTorch asks for it: c10's DeviceGuardImplInterface.
#include <c10/core/DeviceCapability.h>
#include <c10/core/impl/DeviceGuardImplInterface.h>

#include <cmath>

#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/memory/allocator.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

using runtime::EventRecordPointer;

// What c10 holds as void*: the last recording, replaced by the next record().
struct Event {
  EventRecordPointer record;
  bool has_timing = false;
};

runtime::Device& device_of_event(const Event& event) { return *event.record->device; }

c10::DeviceCapability chip_capability() {
  c10::DeviceCapability capability;
  capability.capability_data.capability_bits = 0;
  auto& types = capability.capability_data.supported_scalar_types;
  types.has_Bool = types.has_Byte = types.has_Char = types.has_Short = types.has_Int = types.has_Long = 1;
  types.has_Half = types.has_BFloat16 = types.has_Float = types.has_Double = 1;
  types.has_Float8_e4m3fn = types.has_Float8_e5m2 = 1;
  types.has_ComplexFloat = types.has_ComplexDouble = 1;
  return capability;
}

struct GuardImpl final : c10::impl::DeviceGuardImplInterface {
  c10::DeviceType type() const override { return device_type; }

  // ---- devices
  c10::Device exchangeDevice(c10::Device device) const override {
    check_type(device);
    return c10::Device(device_type, device.has_index() ? exchange_device(device.index()) : current_device());
  }
  c10::Device getDevice() const override { return c10::Device(device_type, current_device()); }
  void setDevice(c10::Device device) const override {
    check_type(device);
    if (device.has_index()) set_device(device.index());
  }
  void uncheckedSetDevice(c10::Device device) const noexcept override {
    if (device.has_index()) set_device_unchecked(device.index());
  }
  c10::DeviceIndex deviceCount() const noexcept override { return device_count(); }
  c10::DeviceCapability getDeviceCapability(c10::Device) const override { return chip_capability(); }
  void synchronizeDevice(const c10::DeviceIndex index) const override {
    surfacing_errors([&] { device_of(index).synchronize(); });
  }

  // ---- streams
  c10::Stream getStream(c10::Device device) const override {
    const c10::DeviceIndex index = index_of(device);
    return as_c10_stream(index, current_stream_id(index));
  }
  c10::Stream getDefaultStream(c10::Device device) const override { return as_c10_stream(index_of(device), 0); }
  c10::Stream getNewStream(c10::Device device, int priority) const override {
    return getStreamFromGlobalPool(device, priority < 0);
  }
  c10::Stream getStreamFromGlobalPool(c10::Device device, bool is_high_priority) const override {
    const c10::DeviceIndex index = index_of(device);
    device_of(index);
    return as_c10_stream(index, stream_from_pool(index, is_high_priority));
  }
  c10::Stream exchangeStream(c10::Stream stream) const override {
    const c10::DeviceIndex index = index_of(stream.device());
    const c10::Stream previous = as_c10_stream(index, current_stream_id(index));
    set_current_stream_id(index, stream.id());
    return previous;
  }
  // The runtime has no object a stream: its id is the handle.
  void* getStreamNativeHandle(const c10::Stream stream) const override { return reinterpret_cast<void*>(stream.id()); }
  bool isStreamCapturing(const c10::Stream&) const override { return false; }
  bool queryStream(const c10::Stream& stream) const override {
    runtime::Device& device = device_of(stream.device_index());
    const runtime::Ticket ticket = device.last_ticket(stream.id());
    if (!device.is_complete(ticket)) return false;
    if (runtime::is_checking()) device.note_host_waited(stream.id(), ticket);
    return true;
  }
  void synchronizeStream(const c10::Stream& stream) const override {
    surfacing_errors([&] { device_of(stream.device_index()).synchronize_stream(stream.id()); });
  }
  void recordDataPtrOnStream(const c10::DataPtr& data, const c10::Stream& stream) const override {
    device_allocator().recordStream(data, stream);
  }

  // ---- events
  void record(void** event, const c10::Stream& stream, const c10::DeviceIndex index,
              const c10::EventFlag flag) const override {
    if (index != -1 && index != stream.device_index()) {
      throw_for_python(
          InvalidArgument(concat("an event of mtia_sim:", static_cast<int>(index),
                                 " was recorded on a stream of mtia_sim:", static_cast<int>(stream.device_index())),
                          "Event.record", "record it on a stream of its own device"));
    }
    if (*event == nullptr) *event = new Event{nullptr, flag == c10::EventFlag::BACKEND_DEFAULT};
    surfacing_errors(
        [&] { static_cast<Event*>(*event)->record = device_of(stream.device_index()).record_event(stream.id()); });
  }
  void block(void* event, const c10::Stream& stream) const override {
    if (event == nullptr) return;
    surfacing_errors(
        [&] { device_of(stream.device_index()).wait_event(stream.id(), static_cast<Event*>(event)->record); });
  }
  bool queryEvent(void* event) const override {
    if (event == nullptr) return true;
    const Event& recorded = *static_cast<Event*>(event);
    runtime::Device& device = device_of_event(recorded);
    if (!device.is_complete(recorded.record->ticket)) return false;
    if (runtime::is_checking()) device.note_host_waited(recorded.record->stream, recorded.record->ticket);
    return true;
  }
  void synchronizeEvent(void* event) const override {
    if (event == nullptr) return;
    const Event& recorded = *static_cast<Event*>(event);
    surfacing_errors([&] { device_of_event(recorded).synchronize_event(*recorded.record); });
  }
  void destroyEvent(void* event, const c10::DeviceIndex) const noexcept override { delete static_cast<Event*>(event); }

  // Milliseconds of chip time.
  double elapsedTime(void* first, void* second, const c10::DeviceIndex) const override {
    if (first == nullptr || second == nullptr) {
      throw_for_python(InvalidArgument("an event was not recorded", "Event.elapsed_time", "record both events first"));
    }
    const Event& begin = *static_cast<Event*>(first);
    const Event& end = *static_cast<Event*>(second);
    if (!begin.has_timing || !end.has_timing) {
      throw_for_python(InvalidArgument("an event was made without timing", "Event.elapsed_time",
                                       "make both with enable_timing=True"));
    }
    if (!queryEvent(first) || !queryEvent(second)) {
      throw_for_python(InvalidArgument("the device has not reached both events yet", "Event.elapsed_time",
                                       "call synchronize() on the second event before"));
    }
    // To the picosecond: the same work takes the same time however late it is, and tuners see ties as such.
    return std::round((end.record->chip_seconds - begin.record->chip_seconds) * 1e12) * 1e-9;
  }

 private:
  static void check_type(c10::Device device) {
    if (device.type() != device_type)
      throw_for_python(InternalError(concat("the guard of mtia_sim got the device ", device.str())));
  }
  static c10::DeviceIndex index_of(c10::Device device) {
    return device.has_index() ? device.index() : current_device();
  }
};

C10_REGISTER_GUARD_IMPL(PrivateUse1, GuardImpl)

}  // namespace
}  // namespace mtia::torch_backend
