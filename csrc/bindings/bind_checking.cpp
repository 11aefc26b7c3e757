// Checked mode: its switch, its findings, and the Python lines that commands come from.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "bindings/bind_runtime.h"
#include "bindings/user_line.h"
#include "emulator/checks/checker.h"
#include "emulator/checks/locations.h"
#include "runtime/checking.h"
#include "runtime/runtime.h"
#include "runtime/schedule_seed.h"
#include "torch_backend/launching/operator_scope.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

// The user's line that this thread is at, with the operator that it runs.
uint32_t present_location() {
  const char* operator_name = torch_backend::OperatorScope::current();
  const std::string_view name = operator_name == nullptr ? "" : operator_name;
  const auto of_operator = [name] { return name.empty() ? 0 : emulator::intern_location({}, 0, name); };
  if (Py_IsInitialized() == 0 || _Py_IsFinalizing() != 0 || PyGILState_GetThisThreadState() == nullptr)
    return of_operator();
  const PyGILState_STATE state = PyGILState_Ensure();
  find_library_folders();
  const std::optional<UserLine> line = user_line(PyEval_GetFrame());
  const uint32_t location = line ? emulator::intern_location(line->file, line->number, name) : of_operator();
  PyGILState_Release(state);
  return location;
}

py::dict as_dict(const emulator::Finding& finding, int device) {
  const emulator::CheckInfo& info = emulator::info_of(finding.check);
  py::dict entry;
  entry["check"] = std::string(info.name);
  entry["severity"] = info.severity == emulator::Severity::error ? "error" : "warning";
  entry["error"] = std::string(name_of(info.category));
  entry["device"] = device;
  entry["kernel"] = finding.kernel;
  if (finding.has_program) {
    if (finding.is_tile_program)
      entry["program"] = py::make_tuple(finding.program[0], finding.program[1], finding.program[2]);
    entry["pe"] = finding.pe;
    if (!finding.role.empty()) entry["role"] = finding.role;
  }
  if (finding.instruction >= 0) {
    entry["instruction"] = finding.instruction;
    entry["disassembly"] = finding.disassembly;
  }
  entry["line"] = finding.line;
  entry["launched"] = finding.launched;
  entry["tensor"] = finding.tensor;
  entry["shape"] = py::tuple(py::cast(finding.sizes));
  entry["strides"] = py::tuple(py::cast(finding.strides));
  entry["index"] = py::tuple(py::cast(finding.index));
  entry["address"] = finding.address;
  entry["bytes"] = finding.bytes;
  entry["problem"] = finding.problem;
  entry["before"] = finding.before;
  entry["where"] = finding.where();
  entry["remedy"] = std::string(info.remedy);
  return entry;
}

template <typename Take>
py::list for_findings(const Take& take) {
  py::list result;
  for (int index = 0; index < runtime::device_count(); ++index) {
    runtime::Device* device = runtime::device_if_made(index);
    if (device == nullptr || device->checker() == nullptr) continue;
    for (const emulator::Finding& finding : take(*device->checker())) result.append(as_dict(finding, index));
  }
  return result;
}

}  // namespace

void bind_checking(py::module_& module) {
  runtime::set_location_source(&present_location);
  module.def(
      "start_checking",
      [](bool raises, uint64_t seed) {
        runtime::set_schedule_seed(seed);
        const py::gil_scoped_release no_gil;
        runtime::start_checking(raises ? runtime::OnFinding::raise : runtime::OnFinding::warn);
      },
      py::arg("raises"), py::arg("seed") = 0, "Waits for all devices and begins checked mode.");
  module.def("stop_checking", &runtime::stop_checking, py::call_guard<py::gil_scoped_release>());
  module.def("is_checking", &runtime::is_checking);
  module.def("findings", [] { return for_findings([](emulator::Checker& checker) { return checker.findings(); }); });
  module.def(
      "take_findings",
      [](bool warnings) {
        const auto severity = warnings ? emulator::Severity::warning : emulator::Severity::error;
        return for_findings([&](emulator::Checker& checker) { return checker.take(severity); });
      },
      py::arg("warnings"), "Findings of one severity that nobody took before.");
  module.def("clear_findings", [] {
    for_findings([](emulator::Checker& checker) {
      checker.clear_findings();
      return std::vector<emulator::Finding>{};
    });
  });
}

}  // namespace mtia::bindings
