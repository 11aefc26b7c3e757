// Tile programs: loading, listing, and running by hand with addresses and scalars (the tests' way in).
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <array>
#include <cstdint>
#include <span>
#include <string>
#include <string_view>
#include <vector>

#include "base/dtype.h"
#include "bindings/bind_runtime.h"
#include "bindings/program_handle.h"
#include "chip/chip_spec.h"
#include "emulator/inspection/profile.h"
#include "emulator/tolerance.h"
#include "torch_backend/device.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/streams/stream.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

ProgramHandle load_program(const py::bytes& program, bool tolerates_out_of_bounds) {
  const auto text = static_cast<std::string_view>(program);
  torch_backend::ensure_initialised();
  const auto bytes = std::as_bytes(std::span(text));
  return {tolerates_out_of_bounds ? emulator::load_tolerant_program(bytes, runtime::chip())
                                  : emulator::load_program(bytes, runtime::chip()),
          nullptr};
}

py::list parameters(const ProgramHandle& handle) {
  py::list all;
  for (const emulator::ParameterInfo& parameter : emulator::parameters_of(*handle.program)) {
    all.append(py::make_tuple(parameter.name, parameter.is_pointer,
                              std::string(name_of(static_cast<DType>(parameter.dtype)))));
  }
  return all;
}

void run_program(const ProgramHandle& handle, const std::array<uint32_t, 3>& grid,
                 const std::vector<uint64_t>& arguments, int device) {
  const auto index = static_cast<c10::DeviceIndex>(device < 0 ? torch_backend::current_device() : device);
  emulator::Launch launch;
  launch.program = handle.take();
  launch.grid = grid;
  launch.arguments.assign(arguments.data(), arguments.size());
  const py::gil_scoped_release no_gil;
  torch_backend::submit_launch(index, torch_backend::current_stream_id(index), std::move(launch));
}

// (count, busy cycles, exposed cycles, bytes moved) by instruction, and what the launch took.
py::dict profile_contents(const emulator::LaunchProfile& profile) {
  constexpr double sub_cycles = 256.0;
  py::list instructions;
  for (const emulator::InstructionTime& time : profile.instructions) {
    instructions.append(py::make_tuple(time.count, static_cast<double>(time.busy) / sub_cycles,
                                       static_cast<double>(time.exposed) / sub_cycles, time.transfers));
  }
  py::dict result;
  result["instructions"] = instructions;
  result["pe"] = profile.pe;
  result["programs"] = profile.programs;
  result["pe_cycles"] = profile.pe_cycles;
  result["cycles"] = profile.account.cycles;
  result["seconds"] = profile.account.seconds;
  return result;
}

}  // namespace

void bind_program(py::module_& module) {
  using ProfileHandle = std::shared_ptr<emulator::LaunchProfile>;
  py::class_<emulator::LaunchProfile, ProfileHandle>(module, "LaunchProfile", "Times by instruction of one launch.")
      .def("contents", &profile_contents, "What the launch took; read it after the stream has been waited for.");
  py::class_<ProgramHandle>(module, "Program", "A tile program, verified and decoded for the chip.")
      .def_property_readonly(
          "name", [](const ProgramHandle& handle) { return std::string(emulator::name_of(*handle.program)); })
      .def_property_readonly("parameters", &parameters, "(name, is_pointer, dtype) of each parameter.")
      .def(
          "profile_next",
          [](const ProgramHandle& handle) {
            auto profile = std::make_shared<emulator::LaunchProfile>();
            handle.next = emulator::profiling(*handle.program, profile);
            return profile;
          },
          "Asks for times by instruction of this program's next launch; the result is filled when it has run.")
      .def("disassemble", [](const ProgramHandle& handle) { return emulator::disassembly_of(*handle.program); });
  module.def("load_program", &load_program, py::arg("program"), py::arg("tolerates_out_of_bounds") = false,
             "Reads, verifies and decodes a serialised tile program. Where it tolerates them, accesses outside of its "
             "tensors read 0 and write nothing.");
  module.def("run_program", &run_program, py::arg("program"), py::arg("grid"), py::arg("arguments"),
             py::arg("device") = -1,
             "Launches a program on the current stream; one 64-bit word a parameter. Asynchronous.");
}

}  // namespace mtia::bindings
