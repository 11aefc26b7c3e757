// Recording for torch.mtia_sim.trace.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <cstddef>
#include <memory>
#include <string>
#include <unordered_map>
#include <utility>
#include <vector>

#include "bindings/bind_runtime.h"
#include "chip/chip_spec.h"
#include "isa/opcode.h"
#include "runtime/observers/trace_recorder.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

using emulator::TracedInstruction;
using emulator::TracedOccupancy;

// python/mtia_sim/tracing/recording.py unpacks them as "<6Q2IH2B4x" and "<QIi".
static_assert(sizeof(TracedInstruction) == 64 && offsetof(TracedInstruction, flops) == 40 &&
              offsetof(TracedInstruction, repeats) == 52 && offsetof(TracedInstruction, unit) == 58);
static_assert(sizeof(TracedOccupancy) == 16 && offsetof(TracedOccupancy, change) == 12);

template <typename Entry>
py::bytes entries_of(const std::vector<Entry>& entries) {
  return {reinterpret_cast<const char*>(entries.data()), entries.size() * sizeof(Entry)};
}

std::string kind_of(const runtime::TracedCommand& command) {
  switch (command.kind) {
    case runtime::CommandKind::launch:
      return "launch";
    case runtime::CommandKind::fill:
      return "fill";
    case runtime::CommandKind::flush_cache:
      return "flush_cache";
    case runtime::CommandKind::end_exchange:
      return "collective";
    default:
      return "copy";
  }
}

py::dict dict_of(const runtime::TracedCommand& command, const py::object& program) {
  py::dict result;
  const emulator::LaunchAccount& account = command.account;
  result["device"] = command.device;
  result["stream"] = command.stream;
  result["kind"] = kind_of(command);
  result["name"] = command.name;
  result["grid"] = py::make_tuple(command.grid[0], command.grid[1], command.grid[2]);
  result["start"] = command.start;
  result["work_start"] = command.work_start;
  result["end"] = command.end;
  result["host_seconds"] = static_cast<double>(command.host_nanoseconds) * 1e-9;
  result["bytes"] = command.bytes;
  result["failed"] = command.failed;
  result["instructions"] = account.instructions;
  result["cycles"] = account.cycles;
  result["flops"] = account.flops;
  result["joules"] = account.joules;
  result["dram_bytes"] = account.bytes.dram_read + account.bytes.dram_written;
  result["sram_bytes"] = account.bytes.sram_read + account.bytes.sram_written;
  result["sram_seconds"] = account.sram_seconds;
  result["dram_seconds"] = account.dram_seconds;
  result["program"] = program;
  py::list pes;
  for (const emulator::PeTrace& pe : command.pes) {
    py::list calls;
    for (const emulator::TracedCall& call : pe.calls()) calls.append(py::make_tuple(call.operation, call.line, ""));
    pes.append(py::make_tuple(pe.pe(), entries_of(pe.instructions()), entries_of(pe.occupancies()), calls,
                              py::cast(pe.buffers())));
  }
  result["pes"] = pes;
  return result;
}

class TraceRecording {
 public:
  TraceRecording(std::vector<uint32_t> pes, std::vector<std::string> kernels, uint64_t limit)
      : recorder_(std::make_shared<runtime::TraceRecorder>(
            runtime::TraceOptions{std::move(pes), std::move(kernels), limit})) {
    torch_backend::ensure_initialised();
    runtime::add_observer(recorder_);
  }

  ~TraceRecording() { stop_recording(); }
  TraceRecording(const TraceRecording&) = delete;
  TraceRecording& operator=(const TraceRecording&) = delete;

  py::dict stop() {
    stop_recording();
    std::unordered_map<const emulator::LoadedProgram*, size_t> numbers;
    py::list programs;
    py::list commands;
    for (const runtime::TracedCommand& command : recorder_->commands()) {
      py::object program = py::none();
      if (command.program != nullptr) {
        const auto [entry, is_new] = numbers.emplace(command.program.get(), numbers.size());
        program = py::int_(entry->second);
        if (is_new) {
          py::list labels;
          for (const emulator::InstructionLabel& label : emulator::instruction_labels(*command.program))
            labels.append(py::make_tuple(label.mnemonic, label.line, label.text));
          programs.append(labels);
        }
      }
      commands.append(dict_of(command, program));
    }
    py::list units;
    for (size_t unit = 0; unit < unit_count; ++unit) units.append(std::string(name_of(static_cast<Unit>(unit))));
    py::list mnemonics;
    for (const OpcodeInfo& info : opcode_table) mnemonics.append(std::string(info.mnemonic));
    py::dict result;
    result["chip"] = std::string(runtime::chip().name);
    result["clock_hz"] = runtime::chip().clock_hz;
    result["units"] = units;
    result["mnemonics"] = mnemonics;
    result["programs"] = programs;
    result["commands"] = commands;
    result["dropped_commands"] = recorder_->dropped_commands();
    result["dropped_instructions"] = recorder_->dropped_instructions();
    return result;
  }

 private:
  void stop_recording() {
    const py::gil_scoped_release no_gil;
    runtime::remove_observer(*recorder_);
  }

  std::shared_ptr<runtime::TraceRecorder> recorder_;
};

}  // namespace

void bind_trace(py::module_& module) {
  py::class_<TraceRecording>(module, "TraceRecording", "What the devices do from now on, until stop().")
      .def(py::init<std::vector<uint32_t>, std::vector<std::string>, uint64_t>(), py::arg("pes"), py::arg("kernels"),
           py::arg("limit"))
      .def("stop", &TraceRecording::stop, "Waits for what was submitted; returns commands, instructions and labels.");
}

}  // namespace mtia::bindings
