// Devices, streams, generators, counters.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <torch/csrc/Generator.h>
#include <torch/csrc/utils/device_lazy_init.h>

#include <string>

#include "bindings/bind_runtime.h"
#include "chip/chip_spec.h"
#include "emulator/grid/worker_pool.h"
#include "isa/unit.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"
#include "torch_backend/generator.h"
#include "torch_backend/status/status_server.h"
#include "torch_backend/streams/stream.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

using torch_backend::device_of;

PyObject* initialise_function = nullptr;  // owned, for the life of the process

void call_initialiser() {
  const py::gil_scoped_acquire gil;
  py::reinterpret_borrow<py::object>(initialise_function)();
}

py::dict counters_dict(int device) {
  runtime::Counters counters;
  {
    const py::gil_scoped_release no_gil;
    counters = device_of(static_cast<c10::DeviceIndex>(device)).counters();
  }
  const emulator::LaunchAccount& total = counters.total;
  py::dict bytes;
  bytes["local_memory"] = total.bytes.local_memory;
  bytes["sram_read"] = total.bytes.sram_read;
  bytes["sram_written"] = total.bytes.sram_written;
  bytes["dram_read"] = total.bytes.dram_read;
  bytes["dram_written"] = total.bytes.dram_written;
  bytes["host_to_device"] = counters.bytes_to_device;
  bytes["device_to_host"] = counters.bytes_from_device;
  bytes["peers"] = counters.bytes_to_peers;
  py::dict busy;
  for (size_t unit = 0; unit < unit_count; ++unit)
    busy[py::str(std::string(name_of(static_cast<Unit>(unit))))] = total.busy_fraction(static_cast<Unit>(unit));
  // Both directions of the link, averaged, as the units are averaged over the PEs.
  busy["host_link"] = counters.elapsed_seconds > 0 ? counters.host_link_seconds / (2 * counters.elapsed_seconds) : 0.0;
  py::dict result;
  result["launches"] = total.launches;
  result["copies"] = counters.copies;
  result["collectives"] = counters.collectives;
  result["collective_seconds"] = counters.collective_seconds;
  result["instructions"] = total.instructions;
  result["cycles"] = total.cycles;
  result["seconds"] = total.seconds;
  result["elapsed_seconds"] = counters.elapsed_seconds;
  result["sram_seconds"] = total.sram_seconds;
  result["dram_seconds"] = total.dram_seconds;
  result["joules"] = total.joules;
  result["dynamic_joules"] = total.dynamic_joules;
  result["flops"] = total.flops;
  result["dot_flops"] = total.dot_flops;
  result["bytes"] = bytes;
  result["busy"] = busy;
  return result;
}

void bind_initialisation(py::module_& module) {
  module.def(
      "configure",
      [](const std::string& chip, const std::string& where, int devices) {
        runtime::configure(ChipSpec::parse(chip, where), devices);
      },
      py::arg("chip"), py::arg("where"), py::arg("devices"),
      "Sets the chip (the flat text of mtia_core.chips) and the number of devices.");
  module.def("is_configured", &runtime::is_configured);
  module.def("device_count_from_environment", &runtime::device_count_from_environment);
  module.def(
      "set_initialiser",
      [](const py::function& function) {
        initialise_function = function.inc_ref().ptr();
        torch_backend::set_initialiser(&call_initialiser);
      },
      py::arg("function"), "Sets what is called when C++ needs a device that Python has not initialised yet.");
  module.def("require_lazy_initialisation", [] {
    torch::utils::set_requires_device_init(torch_backend::device_type, true);
    torch::utils::register_fork_handler_for_device_init(torch_backend::device_type);
  });
  module.def("is_in_bad_fork", &runtime::is_in_bad_fork);
  module.def(
      "shutdown",
      [] {
        torch_backend::stop_serving_status();
        return runtime::shutdown();
      },
      py::call_guard<py::gil_scoped_release>(),
      "Stops the devices; returns the message of an error that nobody waited for.");
  module.def("serve_status", &torch_backend::serve_status, py::arg("path"),
             "Answers connections to a socket with status(); returns whether the socket could be made.");
  module.def("status", &torch_backend::status_json, "The state of the devices as JSON, without waiting for them.");
  module.def(
      "worker_threads", [] { return emulator::WorkerPool::default_threads(); },
      "Host threads that compute the PE grid.");
}

}  // namespace

void bind_device(py::module_& module) {
  bind_initialisation(module);
  module.def("device_count", [] { return static_cast<int>(torch_backend::device_count()); });
  module.def("current_device", [] { return static_cast<int>(torch_backend::current_device()); });
  module.def(
      "set_device", [](int index) { torch_backend::set_device(static_cast<c10::DeviceIndex>(index)); },
      py::arg("index"));
  module.def(
      "exchange_device",
      [](int index) { return static_cast<int>(torch_backend::exchange_device(static_cast<c10::DeviceIndex>(index))); },
      py::arg("index"), "Makes a device the current one and returns the former.");
  module.def(
      "synchronize", [](int index) { device_of(static_cast<c10::DeviceIndex>(index)).synchronize(); }, py::arg("index"),
      py::call_guard<py::gil_scoped_release>(), "Waits for all work of a device; raises its deferred error.");
  module.def(
      "flush_cache",
      [](int index, double rest_seconds) {
        const auto device = static_cast<c10::DeviceIndex>(index);
        device_of(device).flush_cache(torch_backend::current_stream_id(device), rest_seconds);
      },
      py::arg("index"), py::arg("rest_seconds"), py::call_guard<py::gil_scoped_release>());
  module.def(
      "current_stream_id",
      [](int index) { return torch_backend::current_stream_id(static_cast<c10::DeviceIndex>(index)); },
      py::arg("index"));
  module.def(
      "set_current_stream_id",
      [](int index, int64_t id) { torch_backend::set_current_stream_id(static_cast<c10::DeviceIndex>(index), id); },
      py::arg("index"), py::arg("id"));
  module.def(
      "default_generator",
      [](int index) {
        PyObject* generator =
            THPGenerator_initDefaultGenerator(torch_backend::default_generator(static_cast<c10::DeviceIndex>(index)));
        return py::reinterpret_steal<py::object>(generator);
      },
      py::arg("index"));
  module.def("perf_counters", &counters_dict, py::arg("index"),
             "Waits for the device, then returns what it did since the last reset.");
  module.def(
      "reset_perf_counters", [](int index) { device_of(static_cast<c10::DeviceIndex>(index)).reset_counters(); },
      py::arg("index"), py::call_guard<py::gil_scoped_release>());
}

}  // namespace mtia::bindings
