// Python's side of operators: the plan compiler, the element-wise table, fallback counts.
#include "bindings/bind_operators.h"

#include <pybind11/functional.h>
#include <pybind11/stl.h>

#include <utility>

#include "bindings/program_handle.h"
#include "torch_backend/fallback.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/elementwise.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

using torch_backend::ArgumentSlot;
using torch_backend::LaunchPlan;
using torch_backend::PlannedLaunch;
using torch_backend::PlanRequest;

// (source, dtype, index, bits), as mtia_sim/launch_bridge.py encodes it.
ArgumentSlot slot_of(const py::handle& encoded) {
  const auto [source, dtype, index, bits] = encoded.cast<std::tuple<uint8_t, uint8_t, uint16_t, uint64_t>>();
  return {static_cast<ArgumentSlot::Source>(source), static_cast<DType>(dtype), index, bits};
}

// plan = ([(program, grid, [slot])], [bytes of workspace])
std::shared_ptr<const LaunchPlan> plan_of(const py::object& encoded) {
  auto plan = std::make_shared<LaunchPlan>();
  const auto [launches, workspaces] = encoded.cast<std::pair<py::list, std::vector<uint64_t>>>();
  for (const py::handle& launch : launches) {
    const auto [program, grid, slots] = launch.cast<std::tuple<ProgramHandle, std::array<uint32_t, 3>, py::list>>();
    PlannedLaunch planned{program.program, grid, {}};
    for (const py::handle& slot : slots) planned.slots.push_back(slot_of(slot));
    plan->launches.push_back(std::move(planned));
  }
  plan->workspace_bytes = workspaces;
  return plan;
}

// Called from any thread, without the GIL.
class PythonPlanCompiler {
 public:
  explicit PythonPlanCompiler(py::function function)
      : function_(new py::function(std::move(function))) {}  // lives as long as the process

  std::shared_ptr<const LaunchPlan> operator()(const PlanRequest& request) const {
    const py::gil_scoped_acquire gil;
    return plan_of((*function_)(request.kernel, py::tuple(py::cast(request.dtypes)), py::tuple(py::cast(request.sizes)),
                                request.device));
  }

 private:
  py::function* function_;
};

// (name, operands, operators, promote_to_float, result_is_bool, unpromoted, has_complex, complex_result_is_real)
using EncodedRow = std::tuple<std::string, std::vector<std::string>, std::vector<std::string>, bool, bool,
                              std::vector<std::string>, bool, bool>;

std::vector<std::string> register_elementwise(const std::vector<EncodedRow>& rows) {
  std::vector<torch_backend::ElementwiseRow> decoded;
  for (const auto& [name, operands, operators, to_float, to_bool, unpromoted, has_complex, to_real] : rows) {
    decoded.push_back({name, operands, operators, to_float, to_bool, unpromoted, has_complex, to_real});
  }
  return torch_backend::register_elementwise(std::move(decoded));
}

}  // namespace

void bind_operators(py::module_& module) {
  torch_backend::note_own_operators();
  module.def(
      "set_plan_compiler",
      [](py::function function) { torch_backend::set_plan_compiler(PythonPlanCompiler(std::move(function))); },
      py::arg("function"),
      "Installs function(kernel, dtypes, sizes, device) -> plan, called for every new kernel, dtypes and sizes.");
  module.def("register_elementwise", &register_elementwise, py::arg("rows"),
             "Registers the element-wise table's operators for the device; returns their names.");
  module.def("fallback_counts", &torch_backend::fallback_counts, "Operators that ran on the CPU, and how often.");
  module.def("reset_fallback_counts", &torch_backend::reset_fallback_counts);
  module.def(
      "plan_cache_statistics",
      [] {
        const torch_backend::PlanCacheStatistics statistics = torch_backend::plan_cache_statistics();
        py::dict result;
        result["hits"] = statistics.hits;
        result["misses"] = statistics.misses;
        result["plans"] = statistics.plans;
        return result;
      },
      "Hits and misses of launches in the plan cache, and the plans it holds.");
  module.def("clear_plan_cache", &torch_backend::clear_plan_cache);
}

}  // namespace mtia::bindings
