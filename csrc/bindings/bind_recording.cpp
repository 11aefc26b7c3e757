// Recordings of launches as Python stores them, and their replay.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>

#include "bindings/bind_runtime.h"
#include "bindings/launcher.h"
#include "runtime/recording/recording.h"
#include "runtime/runtime.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

using runtime::Recording;

py::bytes bytes_of(const std::vector<std::byte>& data) {
  return {reinterpret_cast<const char*>(data.data()), data.size()};
}

std::vector<std::byte> vector_of(const py::handle& data) {
  const auto text = data.cast<std::string_view>();
  const auto* begin = reinterpret_cast<const std::byte*>(text.data());
  return {begin, begin + text.size()};
}

py::list ranges(const std::vector<emulator::AddressRange>& all) {
  py::list result;
  for (const emulator::AddressRange& range : all) result.append(py::make_tuple(range.begin, range.end));
  return result;
}

std::vector<emulator::AddressRange> ranges_of(const py::handle& encoded) {
  std::vector<emulator::AddressRange> all;
  for (const auto& [begin, end] : encoded.cast<std::vector<std::pair<uint64_t, uint64_t>>>())
    all.push_back({begin, end});
  return all;
}

py::dict contents(const emulator::LaunchNotes& notes) {
  py::list tensors;
  for (const emulator::TensorNote& note : notes.tensors)
    tensors.append(py::make_tuple(note.name, note.address, note.item_bytes, note.sizes, note.strides));
  py::dict result;
  result["tensors"] = tensors;
  result["tensor_of_argument"] = py::cast(notes.tensor_of_argument);
  result["moves"] = notes.moves;
  return result;
}

std::shared_ptr<const emulator::LaunchNotes> notes_of(const py::handle& encoded) {
  if (encoded.is_none()) return nullptr;
  auto notes = std::make_shared<emulator::LaunchNotes>();
  for (const py::handle& entry : encoded["tensors"]) {
    const auto fields = entry.cast<py::sequence>();
    emulator::TensorNote& note = notes->tensors.emplace_back();
    note.name = fields[0].cast<std::string>();
    note.address = fields[1].cast<uint64_t>();
    note.item_bytes = fields[2].cast<uint64_t>();
    note.sizes = fields[3].cast<std::vector<int64_t>>();
    note.strides = fields[4].cast<std::vector<int64_t>>();
    note.find_reach();
  }
  notes->tensor_of_argument = encoded["tensor_of_argument"].cast<std::vector<uint32_t>>();
  notes->moves = encoded["moves"].cast<bool>();
  return notes;
}

py::dict contents(const runtime::RecordedChecks& checks) {
  py::dict result;
  result["notes"] = checks.notes == nullptr ? py::object(py::none()) : contents(*checks.notes);
  result["unwritten"] = py::cast(checks.unwritten);
  result["seed"] = checks.seed;
  return result;
}

runtime::RecordedChecks checks_of(const py::handle& encoded) {
  runtime::RecordedChecks checks;
  checks.notes = notes_of(encoded["notes"]);
  checks.unwritten = encoded["unwritten"].cast<std::vector<uint64_t>>();
  checks.seed = encoded["seed"].cast<uint64_t>();
  return checks;
}

py::dict contents(const Recording& recording) {
  py::dict result;
  result["kernel"] = recording.kernel;
  result["program"] = bytes_of(recording.program);
  result["shared_object"] = recording.shared_object;
  result["grid"] = py::cast(recording.grid);
  result["arguments"] = py::cast(recording.arguments);
  result["extents"] = ranges(recording.extents);
  result["allocations"] = ranges(recording.allocations);
  result["loop_limit"] = recording.loop_limit;
  result["number"] = recording.number;
  result["launched_by"] = recording.launched_by;
  result["error"] = recording.error;
  result["checks"] = recording.checks ? py::object(contents(*recording.checks)) : py::none();
  py::list pages;
  for (const runtime::RecordedPage& page : recording.pages)
    pages.append(py::make_tuple(page.address, bytes_of(page.before), bytes_of(page.after)));
  result["pages"] = pages;
  return result;
}

Recording recording_of(const py::dict& encoded) {
  Recording recording;
  recording.kernel = encoded["kernel"].cast<std::string>();
  recording.program = vector_of(encoded["program"]);
  recording.shared_object = encoded["shared_object"].cast<std::string>();
  recording.grid = encoded["grid"].cast<std::array<uint32_t, 3>>();
  recording.arguments = encoded["arguments"].cast<std::vector<uint64_t>>();
  recording.extents = ranges_of(encoded["extents"]);
  recording.allocations = ranges_of(encoded["allocations"]);
  recording.loop_limit = encoded["loop_limit"].cast<uint64_t>();
  recording.error = encoded["error"].cast<std::string>();
  if (!encoded["checks"].is_none()) recording.checks = checks_of(encoded["checks"]);
  for (const py::handle& entry : encoded["pages"]) {
    const auto page = entry.cast<py::tuple>();
    recording.pages.push_back({page[0].cast<uint64_t>(), vector_of(page[1]), vector_of(page[2])});
  }
  return recording;
}

py::dict replay(int device, const py::dict& encoded, std::optional<std::array<uint32_t, 3>> program,
                std::optional<uint32_t> pe, const py::object& step) {
  const Recording recording = recording_of(encoded);
  runtime::ReplayOptions options;
  options.program = program;
  options.pe = pe;
  if (!step.is_none()) {
    options.step = [&step](const std::array<uint32_t, 3>& id, uint32_t on, uint32_t instruction,
                           const std::string& line, const std::string& text) {
      const py::gil_scoped_acquire gil;
      step(py::cast(id), on, instruction, line, text);
    };
  }
  runtime::ReplayResult result;
  {
    const py::gil_scoped_release no_gil;
    result = runtime::replay(runtime::device(device), recording, options);
  }
  py::dict answer;
  answer["error"] = result.error;
  answer["cycles"] = result.cycles;
  answer["seconds"] = result.seconds;
  answer["compared_bytes"] = result.compared_bytes;
  answer["differences"] = result.differences;
  answer["first_differences"] = py::cast(result.first_differences);
  return answer;
}

}  // namespace

void bind_recording(py::module_& module) {
  using runtime::RecordMonitor;
  py::class_<RecordMonitor, runtime::LaunchMonitor, std::shared_ptr<RecordMonitor>>(
      module, "RecordMonitor", "Takes down launches with the memory that they touch.")
      .def(py::init([](int device, std::optional<std::string> kernel, std::optional<uint64_t> number, uint64_t most,
                       uint64_t most_bytes, py::function keep) {
             const std::shared_ptr<py::function> kept(new py::function(std::move(keep)), [](py::function* function) {
               const py::gil_scoped_acquire gil;
               delete function;
             });
             return std::make_shared<RecordMonitor>(runtime::RecordChoice{std::move(kernel), number, most, most_bytes},
                                                    launcher(device), [kept](const Recording& recording) {
                                                      const py::gil_scoped_acquire gil;
                                                      (*kept)(contents(recording));
                                                    });
           }),
           py::arg("device"), py::arg("kernel"), py::arg("number"), py::arg("most"), py::arg("most_bytes"),
           py::arg("keep"))
      .def_property_readonly("launches", &RecordMonitor::launches)
      .def_property_readonly("recorded", &RecordMonitor::recorded);
  module.def("replay", &replay, py::arg("device"), py::arg("recording"), py::arg("program"), py::arg("pe"),
             py::arg("step"), "Runs a recorded launch again on a device whose memory holds nothing.");
  module.def(
      "device_memory_base", [](int device) { return runtime::device(device).memory().base(); }, py::arg("device"),
      "The first address of a device's memory.");
}

}  // namespace mtia::bindings
