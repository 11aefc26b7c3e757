// Breakpoints in Triton kernels: what a stopped program shows, as numpy sees it.
#include <pybind11/functional.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>

#include "base/error.h"
#include "bindings/bind_runtime.h"
#include "emulator/inspection/instruction_observer.h"
#include "program/disassemble.h"
#include "program/tile_program.h"
#include "runtime/monitors/breakpoint_monitor.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

using emulator::Resume;

// name -> (dtype, shape, bytes); a pointer's dtype is "pointer".
py::dict variables(const emulator::Stop& stop) {
  const TileProgram& program = stop.step.program();
  py::dict result;
  for (const emulator::LiveName& live : stop.names.names()) {
    const Value& value = program.values[live.value];
    py::tuple shape(value.is_tile() ? value.rank : 0);
    for (size_t d = 0; d < shape.size(); ++d) shape[d] = value.dims[d];
    const size_t bytes = value.is_tile() ? value.bytes() : size_of(value.dtype);
    std::string dtype(name_of(value.dtype));
    for (const Argument& argument : program.arguments) {
      if (argument.is_pointer && argument.value == live.value) dtype = "pointer";
    }
    const auto* data = reinterpret_cast<const char*>(stop.step.data(live.value));
    result[py::str(std::string(live.name))] = py::make_tuple(dtype, shape, py::bytes(data, bytes));
  }
  return result;
}

// stopped(description, variables) -> "run", "next", "step" or "finish". What it raises ends the launch.
Resume call(const py::function& stopped, const emulator::Stop& stop) {
  const TileProgram& program = stop.step.program();
  py::dict description;
  description["kernel"] = program.name;
  description["file"] = stop.file;
  description["line"] = stop.line;
  description["program"] = py::cast(stop.step.program_id());
  description["grid"] = py::cast(stop.step.grid());
  description["pe"] = stop.step.pe();
  description["instruction"] = stop.step.index();
  description["disassembly"] = disassemble(program, stop.step.instruction());
  description["hit"] = stop.hit;
  const auto answer = stopped(description, variables(stop)).cast<std::string>();
  if (answer == "next") return Resume::next_line;
  if (answer == "step") return Resume::instruction;
  if (answer == "finish") return Resume::finish;
  return Resume::run;
}

}  // namespace

void bind_breakpoints(py::module_& module) {
  using runtime::BreakpointMonitor;
  py::class_<BreakpointMonitor, runtime::LaunchMonitor, std::shared_ptr<BreakpointMonitor>>(
      module, "BreakpointMonitor", "Stops programs at a line of a Triton kernel.")
      .def(py::init([](std::string file, uint32_t line, std::optional<std::array<uint32_t, 3>> program,
                       py::function stopped) {
             // Called, and at last let go of, on the dispatcher's thread.
             const std::shared_ptr<py::function> kept(new py::function(std::move(stopped)), [](py::function* function) {
               const py::gil_scoped_acquire gil;
               delete function;
             });
             return std::make_shared<BreakpointMonitor>(emulator::BreakpointPlace{std::move(file), line, program},
                                                        [kept](const emulator::Stop& stop) {
                                                          const py::gil_scoped_acquire gil;
                                                          return call(*kept, stop);
                                                        });
           }),
           py::arg("file"), py::arg("line"), py::arg("program"), py::arg("stopped"))
      .def_property_readonly("launches", &BreakpointMonitor::launches);
}

}  // namespace mtia::bindings
