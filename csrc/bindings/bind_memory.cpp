// The caching allocator's insides: segments and blocks, and who wants to hear of memory running out.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>

#include "bindings/bind_runtime.h"
#include "torch_backend/device.h"
#include "torch_backend/memory/allocator.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

py::list memory_segments(int device) {
  py::list segments;
  for (const auto& info : torch_backend::caching_allocator(static_cast<c10::DeviceIndex>(device)).snapshot()) {
    py::list blocks;
    size_t address = info.address;
    for (const auto& block : info.blocks) {
      py::dict entry;
      entry["address"] = address;
      entry["size"] = block.size;
      entry["requested_size"] = block.requested_size;
      entry["state"] = block.allocated ? "active_allocated" : block.active ? "active_pending_free" : "inactive";
      blocks.append(entry);
      address += block.size;
    }
    py::dict segment;
    segment["device"] = static_cast<int>(info.device);
    segment["address"] = info.address;
    segment["total_size"] = info.total_size;
    segment["allocated_size"] = info.allocated_size;
    segment["active_size"] = info.active_size;
    segment["requested_size"] = info.requested_size;
    segment["stream"] = reinterpret_cast<uintptr_t>(info.stream);
    segment["segment_type"] = info.is_large ? "large" : "small";
    segment["blocks"] = blocks;
    segments.append(segment);
  }
  return segments;
}

py::list memory_history(int device) {
  py::list events;
  for (const torch_backend::AllocatorEvent& event :
       torch_backend::caching_allocator(static_cast<c10::DeviceIndex>(device)).history()) {
    py::dict entry;
    entry["action"] = event.action;
    entry["addr"] = event.address;
    entry["size"] = event.bytes;
    entry["stream"] = event.stream;
    entry["time_us"] = event.nanoseconds / 1000;
    entry["frames"] = py::list();
    events.append(entry);
  }
  return events;
}

}  // namespace

void bind_memory(py::module_& module) {
  module.def("memory_segments", &memory_segments, py::arg("index"),
             "The segments of a device's caching allocator and their blocks.");
  module.def(
      "record_memory_history",
      [](int device, size_t capacity) {
        torch_backend::caching_allocator(static_cast<c10::DeviceIndex>(device)).record_history(capacity);
      },
      py::arg("index"), py::arg("capacity"), "Keeps the last allocations and releases; 0 stops and forgets them.");
  module.def("memory_history", &memory_history, py::arg("index"));
  module.def(
      "attach_out_of_memory_observer",
      [](py::function observer) {
        auto* kept = new py::function(std::move(observer));  // observers stay for the life of the process
        torch_backend::CachingAllocator::add_out_of_memory_observer(
            [kept](int64_t device, int64_t requested, int64_t capacity, int64_t free) {
              const py::gil_scoped_acquire gil;
              (*kept)(device, requested, capacity, free);
            });
      },
      py::arg("observer"),
      "Calls observer(device, requested bytes, capacity, free bytes) before an OutOfMemoryError is raised.");
}

}  // namespace mtia::bindings
