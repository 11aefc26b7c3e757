// Timing mode: which devices are in it, what stands in for unknown values, what it has met.
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>

#include <memory>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bind_runtime.h"
#include "chip/chip_spec.h"
#include "emulator/timing/launch_totals.h"
#include "emulator/timing_mode/stand_ins.h"
#include "isa/unit.h"
#include "runtime/observers/kernel_totals.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"
#include "torch_backend/streams/stream.h"

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
  result["multiplied"] = found.multiplied;
  result["stood_in"] = found.stood_in;
  result["stand_in_seconds"] = found.stand_in_seconds;
  result["stand_in_joules"] = found.stand_in_joules;
  result["unknown_reads"] = found.unknown_reads;
  return result;
}

void set_stand_ins(int index, double exponent, std::vector<double> quantiles, double mask, uint64_t seed) {
  emulator::StandInSettings settings;
  if (exponent > 0) {
    settings.indices = emulator::StandInSettings::Indices::zipf;
    settings.exponent = exponent;
  }
  if (!quantiles.empty()) {
    settings.indices = emulator::StandInSettings::Indices::quantiles;
    settings.quantiles = std::move(quantiles);
  }
  settings.mask = mask;
  settings.seed = seed;
  device_of(static_cast<c10::DeviceIndex>(index)).set_stand_ins(settings);
}

// Totals by kernel from its making to stop().
class KernelTotals {
 public:
  explicit KernelTotals(int index) : totals_(std::make_shared<runtime::KernelTotals>(index)) {
    torch_backend::ensure_initialised();
    runtime::add_observer(totals_);
  }
  ~KernelTotals() { stop(); }
  KernelTotals(const KernelTotals&) = delete;
  KernelTotals& operator=(const KernelTotals&) = delete;

  void stop() {
    if (stopped_) return;
    stopped_ = true;
    const py::gil_scoped_release no_gil;
    runtime::remove_observer(*totals_);
  }

  py::list contents() const {
    py::list result;
    for (const auto& [key, total] : totals_->totals()) {
      const emulator::LaunchAccount& account = total.account;
      py::dict busy;
      for (size_t unit = 0; unit < unit_count; ++unit)
        busy[py::str(std::string(name_of(static_cast<Unit>(unit))))] =
            account.busy_fraction(static_cast<Unit>(unit)) * total.seconds;
      py::dict row;
      row["purpose"] = key.first;
      row["name"] = key.second;
      row["count"] = total.count;
      row["seconds"] = total.seconds;
      const double full_clock = runtime::chip().seconds(static_cast<double>(account.cycles));
      row["full_clock_seconds"] = full_clock;
      // As the clock was, like the busy time of units.
      row["sram_seconds"] = full_clock > 0 ? account.sram_seconds * account.seconds / full_clock : account.sram_seconds;
      row["dram_seconds"] = account.dram_seconds;
      row["full_clock_dynamic_joules"] = account.full_clock_dynamic_joules;
      row["joules"] = account.joules;
      row["dynamic_joules"] = account.dynamic_joules;
      row["flops"] = account.flops;
      row["dot_flops"] = account.dot_flops;
      row["local_memory_bytes"] = account.bytes.local_memory;
      row["sram_bytes"] = account.bytes.sram_read + account.bytes.sram_written;
      row["dram_bytes"] = account.bytes.dram_read + account.bytes.dram_written;
      row["busy_seconds"] = busy;
      result.append(row);
    }
    return result;
  }

 private:
  std::shared_ptr<runtime::KernelTotals> totals_;
  bool stopped_ = false;
};

}  // namespace

void bind_timing(py::module_& module) {
  module.def(
      "set_mode", [](const std::string& mode, int index) { runtime::set_mode(runtime::mode_named(mode), index); },
      py::arg("mode"), py::arg("index"));
  module.def(
      "mode", [](int index) { return runtime::mode_of(index) == runtime::Mode::timing ? "timing" : "functional"; },
      py::arg("index"));
  module.def("timing_summary", &summary, py::arg("index"));
  module.def("set_stand_ins", &set_stand_ins, py::arg("index"), py::arg("exponent"), py::arg("quantiles"),
             py::arg("mask"), py::arg("seed"), py::call_guard<py::gil_scoped_release>(),
             "exponent: of Zipf's law; 0: uniform indices. quantiles: of another law, at equal steps from 0 to 1.");
  module.def(
      "spend_saved_power", [](int index) { device_of(static_cast<c10::DeviceIndex>(index)).spend_saved_power(); },
      py::arg("index"), "The next work finds the chip as after a long time at its power limit.");
  module.def(
      "restart_stream_pools", [](int index) { torch_backend::restart_pools(static_cast<c10::DeviceIndex>(index)); },
      py::arg("index"), "The next streams are those that a new process gets.");
  module.def(
      "time_together", [](double a, double b, uint32_t pes) { return emulator::Queueing(pes).together(a, b); },
      py::arg("a"), py::arg("b"), py::arg("pes"),
      "Of two parts of a chip that take these times alone and wait for each other.");
  module.def(
      "longer_blocks", [](const std::string& chip) { return ChipSpec::parse(chip, "longer_blocks").longer_blocks(); },
      py::arg("chip"), "ChipSpec::longer_blocks of a serialised chip.");
  module.def("set_purpose", &runtime::set_purpose, py::arg("purpose"),
             "What this thread submits from now on is for; KernelTotals keeps purposes apart.");
  py::class_<KernelTotals>(module, "KernelTotals")
      .def(py::init<int>(), py::arg("index"))
      .def("stop", &KernelTotals::stop)
      .def("contents", &KernelTotals::contents);
  module.def(
      "knows",
      [](int index, uint64_t address, size_t bytes) {
        return device_of(static_cast<c10::DeviceIndex>(index)).knows(address, bytes);
      },
      py::arg("index"), py::arg("address"), py::arg("bytes"), py::call_guard<py::gil_scoped_release>(),
      "Whether all of these bytes hold what they would hold in functional mode.");
}

}  // namespace mtia::bindings
