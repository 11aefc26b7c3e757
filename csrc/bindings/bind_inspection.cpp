// What looks into launches: the finder of NaNs and infinities.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <optional>
#include <string>
#include <vector>

#include "bindings/bind_runtime.h"
#include "bindings/launcher.h"
#include "bindings/user_line.h"
#include "runtime/monitors/comparison_monitor.h"
#include "runtime/monitors/launch_monitor.h"
#include "runtime/monitors/numerics_monitor.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"
#include "torch_backend/launching/operator_trace.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

py::dict contents(const emulator::NonFiniteFinding& finding) {
  py::dict result;
  result["kernel"] = finding.kernel;
  result["program"] = finding.is_tile_program
                          ? py::object(py::make_tuple(finding.program[0], finding.program[1], finding.program[2]))
                          : py::object(py::none());
  result["pe"] = finding.pe;
  result["instruction"] = finding.instruction;
  result["disassembly"] = finding.disassembly;
  result["file"] = finding.file;
  result["line"] = finding.line;
  result["result"] = finding.result;
  result["result_type"] = finding.result_type;
  result["index"] = py::tuple(py::cast(finding.index));
  result["value"] = finding.value;
  py::list inputs;
  for (const emulator::InputReport& input : finding.inputs)
    inputs.append(py::make_tuple(input.name, input.type, input.elements, input.values));
  result["inputs"] = inputs;
  result["launched_by"] = finding.launched_by;
  result["where"] = finding.where();
  result["problem"] = finding.problem();
  return result;
}

// A launching thread that holds Python's lock lets go of it while it waits: a monitor may want it.
void wait_without_lock(void (*wait)(void*), void* context) {
  if (Py_IsInitialized() == 0 || PyGILState_Check() == 0) return wait(context);
  const py::gil_scoped_release no_gil;
  wait(context);
}

// "train.py:42"
std::string user_line_text(PyFrameObject* innermost) {
  const std::optional<UserLine> line = user_line(innermost);
  return line ? concat(line->file.substr(line->file.rfind('/') + 1), ":", line->number) : "";
}

std::string own_python_line() {
  if (Py_IsInitialized() == 0) return {};
  const py::gil_scoped_acquire gil;
  return user_line_text(PyEval_GetFrame());
}

// Who made the launch that the dispatcher of `device` runs now.
std::string launcher_of(int device) {
  const torch_backend::OperatorPlace place = torch_backend::OperatorTrace::current();
  std::string line = place.caller;
  if (line.empty()) {
    const uint64_t thread = runtime::device(device).launching_thread();
    const py::gil_scoped_acquire gil;
    const py::dict frames = py::module_::import("sys").attr("_current_frames")();
    const py::int_ key(thread);
    if (frames.contains(key)) line = user_line_text(reinterpret_cast<PyFrameObject*>(py::object(frames[key]).ptr()));
  }
  return concat(place.name, !place.name.empty() && !line.empty() ? " at " : "", line);
}

}  // namespace

std::function<std::string()> launcher(int device) {
  find_library_folders();
  return [device, trace = std::make_shared<torch_backend::OperatorTrace>(&own_python_line)] {
    return launcher_of(device);
  };
}

void bind_inspection(py::module_& module) {
  runtime::set_lock_free_wait(&wait_without_lock);
  using runtime::NumericsMonitor;
  py::class_<runtime::LaunchMonitor, std::shared_ptr<runtime::LaunchMonitor>>(module, "LaunchMonitor",
                                                                              "Runs launches in its own way.");
  py::class_<NumericsMonitor, runtime::LaunchMonitor, std::shared_ptr<NumericsMonitor>>(
      module, "NumericsMonitor", "Finds what makes NaNs and infinities.")
      .def(py::init([](int device, bool infinities, bool raise, uint64_t journal_bytes) {
             runtime::NumericsOptions options;
             options.infinities = infinities;
             options.raise = raise;
             options.journal_bytes = journal_bytes;
             options.launcher = launcher(device);
             return std::make_shared<NumericsMonitor>(options);
           }),
           py::arg("device"), py::arg("infinities"), py::arg("raise_first"), py::arg("journal_bytes"))
      .def("findings",
           [](const NumericsMonitor& monitor) {
             py::list all;
             for (const emulator::NonFiniteFinding& finding : monitor.findings()) all.append(contents(finding));
             return all;
           })
      .def("counts", [](const NumericsMonitor& monitor) {
        const runtime::NumericsCounts counts = monitor.counts();
        return py::make_tuple(counts.launches, counts.examined, counts.too_large);
      });
  using runtime::ComparisonMonitor;
  py::class_<ComparisonMonitor, runtime::LaunchMonitor, std::shared_ptr<ComparisonMonitor>>(
      module, "ComparisonMonitor", "Runs each launch of a Triton kernel again in float64.")
      .def(py::init([](int device, uint64_t journal_bytes) {
             return std::make_shared<ComparisonMonitor>(journal_bytes, launcher(device));
           }),
           py::arg("device"), py::arg("journal_bytes"))
      .def("set_enabled", &ComparisonMonitor::set_enabled, py::arg("enabled"))
      .def("errors", [](const ComparisonMonitor& monitor) {
        py::list all;
        for (const runtime::KernelError& error : monitor.errors()) {
          all.append(py::make_tuple(error.kernel, error.launched_by, error.dtypes, error.calls, error.elements,
                                    error.worst_relative, error.sum_relative, error.worst_ulps, error.skipped));
        }
        return all;
      });
  module.def(
      "python_line",
      [] {
        find_library_folders();
        const std::string line = own_python_line();
        return line.empty() ? torch_backend::OperatorTrace::current().caller : line;
      },
      "The caller's innermost line outside of torch, triton and mtia_sim; in a backward pass, which has none, that of "
      "the forward operator while operators are followed.");
  module.def(
      "set_monitor",
      [](int device, std::shared_ptr<runtime::LaunchMonitor> monitor) {
        const auto index = static_cast<c10::DeviceIndex>(device);
        const py::gil_scoped_release no_gil;
        torch_backend::device_of(index).set_monitor(std::move(monitor));
      },
      py::arg("device"), py::arg("monitor").none(true),
      "Launches of the device run through the monitor, and are waited for; None: as usual.");
}

}  // namespace mtia::bindings
