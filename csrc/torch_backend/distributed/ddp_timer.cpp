// What DistributedDataParallel's logger measures: chip time between events on the current stream.
#include <torch/csrc/distributed/c10d/reducer_timer.hpp>

#include <array>
#include <cmath>

#include "torch_backend/device.h"
#include "torch_backend/errors.h"
#include "torch_backend/streams/stream.h"

namespace mtia::torch_backend {
namespace {

class DdpTimer final : public c10d::Timer {
 public:
  explicit DdpTimer(c10::Device device) : index_(device.has_index() ? device.index() : current_device()) {}

  void record(Event event) override {
    Timer::record(event);  // the host's time
    surfacing_errors([&] { recorded_of(event) = device_of(index_).record_event(current_stream_id(index_)); });
  }

  // Nanoseconds; nothing where an event has not been recorded, or belongs to the iteration before.
  std::optional<int64_t> measureDifference(Event start, Event end) override {
    const runtime::EventRecordPointer& first = recorded_of(start);
    const runtime::EventRecordPointer& last = recorded_of(end);
    if (first == nullptr || last == nullptr) return std::nullopt;
    surfacing_errors([&] { device_of(index_).synchronize_event(*last); });
    if (last->chip_seconds < first->chip_seconds) return std::nullopt;
    return std::llround((last->chip_seconds - first->chip_seconds) * 1e9);
  }

 private:
  runtime::EventRecordPointer& recorded_of(Event event) { return recorded_.at(static_cast<size_t>(event)); }

  c10::DeviceIndex index_;
  std::array<runtime::EventRecordPointer, static_cast<size_t>(Event::kBackwardCommEnd) + 1> recorded_;
};

}  // namespace
}  // namespace mtia::torch_backend

// The macro names registry and key without qualification.
namespace c10d {
namespace {
C10_REGISTER_TYPED_CLASS(TimerRegistry, c10::DeviceType::PrivateUse1, mtia::torch_backend::DdpTimer)
}  // namespace
}  // namespace c10d
