// Checked mode: its switch, its findings, and the Python lines that commands come from.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <frameobject.h>

#include <string>
#include <string_view>
#include <unordered_map>

#include "bindings/bind_runtime.h"
#include "emulator/checks/checker.h"
#include "emulator/checks/locations.h"
#include "runtime/checking.h"
#include "runtime/runtime.h"
#include "runtime/schedule_seed.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

// Files whose lines are not the user's: calls through them are attributed to who called them.
std::vector<std::string>& internal_folders() {
  static auto* const folders = new std::vector<std::string>;
  return *folders;
}

struct CodeInfo {
  std::string file;
  bool is_internal = false;
};

// Kept with a reference each, so that an address stays its code's. Guarded by Python's lock.
const CodeInfo& info_of(PyCodeObject* code) {
  static auto* const known = new std::unordered_map<PyCodeObject*, CodeInfo>;
  const auto [entry, added] = known->try_emplace(code);
  if (!added) return entry->second;
  Py_INCREF(code);
  Py_ssize_t length = 0;
  const char* name = PyUnicode_AsUTF8AndSize(code->co_filename, &length);
  if (name == nullptr) {
    PyErr_Clear();
    return entry->second;
  }
  entry->second.file.assign(name, static_cast<size_t>(length));
  for (const std::string& folder : internal_folders()) {
    if (std::string_view(entry->second.file).starts_with(folder)) entry->second.is_internal = true;
  }
  return entry->second;
}

// The innermost frame of this thread that is the user's.
uint32_t present_location() {
  if (Py_IsInitialized() == 0 || _Py_IsFinalizing() != 0) return 0;
  const PyGILState_STATE state = PyGILState_Ensure();
  uint32_t location = 0;
  PyFrameObject* frame = PyEval_GetFrame();
  Py_XINCREF(frame);
  while (frame != nullptr) {
    PyCodeObject* code = PyFrame_GetCode(frame);
    const CodeInfo& info = info_of(code);
    Py_DECREF(code);
    if (!info.is_internal) {
      location = emulator::intern_location(info.file, PyFrame_GetLineNumber(frame));
      break;
    }
    PyFrameObject* caller = PyFrame_GetBack(frame);
    Py_DECREF(frame);
    frame = caller;
  }
  Py_XDECREF(frame);
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
  module.def(
      "start_checking",
      [](bool raises, uint64_t seed) {
        runtime::set_location_source(&present_location);
        runtime::set_schedule_seed(seed);
        const py::gil_scoped_release no_gil;
        runtime::start_checking(raises ? runtime::OnFinding::raise : runtime::OnFinding::warn);
      },
      py::arg("raises"), py::arg("seed") = 0, "Waits for all devices and begins checked mode.");
  module.def("stop_checking", &runtime::stop_checking, py::call_guard<py::gil_scoped_release>());
  module.def("is_checking", &runtime::is_checking);
  module.def(
      "set_internal_folders", [](const std::vector<std::string>& folders) { internal_folders() = folders; },
      py::arg("folders"), "Whose lines are not the user's.");
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
