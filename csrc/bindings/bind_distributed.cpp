// The process group as torch.distributed takes it.
#include <pybind11/chrono.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <utility>

#include "bindings/bind_runtime.h"
#include "torch_backend/distributed/process_group.h"

namespace py = pybind11;

namespace mtia::bindings {

void bind_distributed(py::module_& module) {
  module.def("make_process_group", &torch_backend::make_process_group, py::arg("transport"), py::arg("host"),
             py::arg("global_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of the device over two that carry bytes in host memory between the same ranks.");
}

}  // namespace mtia::bindings
