// Timing mode: which devices are in it, what stands in for unknown values, what it has met.
#include <pybind11/pybind11.h>

#include <string>

#include "base/error.h"
#include "bindings/bind_runtime.h"
#include "emulator/timing_mode/stand_ins.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

using torch_backend::device_of;

py::dict summary(int index) {
  runtime::TimingSummary found;
  {
    const py::gil_scoped_release no_gil;
    found = device_of(static_cast<c10::DeviceIndex>(index)).timing_summary();
  }
  py::dict result;
  result["launches"] = found.launches;
  result["computed"] = found.computed;
  result["remembered"] = found.remembered;
  result["stood_in"] = found.stood_in;
  result["stand_in_seconds"] = found.stand_in_seconds;
  result["stand_in_joules"] = found.stand_in_joules;
  result["unknown_reads"] = found.unknown_reads;
  return result;
}

void set_stand_ins(int index, double exponent, double mask, uint64_t seed) {
  emulator::StandInSettings settings;
  if (exponent > 0) {
    settings.indices = emulator::StandInSettings::Indices::zipf;
    settings.exponent = exponent;
  }
  settings.mask = mask;
  settings.seed = seed;
  device_of(static_cast<c10::DeviceIndex>(index)).set_stand_ins(settings);
}

}  // namespace

void bind_timing(py::module_& module) {
  module.def(
      "set_mode",
      [](const std::string& mode, int index) { runtime::set_mode(runtime::mode_named(mode), index); },
      py::arg("mode"), py::arg("index"));
  module.def(
      "mode",
      [](int index) { return runtime::mode_of(index) == runtime::Mode::timing ? "timing" : "functional"; },
      py::arg("index"));
  module.def("timing_summary", &summary, py::arg("index"));
  module.def("set_stand_ins", &set_stand_ins, py::arg("index"), py::arg("exponent"), py::arg("mask"), py::arg("seed"),
             py::call_guard<py::gil_scoped_release>(), "exponent: of Zipf's law; 0: uniform indices.");
  module.def(
      "knows",
      [](int index, uint64_t address, size_t bytes) {
        return device_of(static_cast<c10::DeviceIndex>(index)).knows(address, bytes);
      },
      py::arg("index"), py::arg("address"), py::arg("bytes"), py::call_guard<py::gil_scoped_release>(),
      "Whether all of these bytes hold what they would hold in functional mode.");
}

}  // namespace mtia::bindings
