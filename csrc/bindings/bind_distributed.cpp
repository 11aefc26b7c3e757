// The process group as torch.distributed takes it.
#include <pybind11/chrono.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <utility>

#include "bindings/bind_runtime.h"
#include "torch_backend/distributed/mirrored_group.h"
#include "torch_backend/distributed/process_group.h"

namespace py = pybind11;

namespace mtia::bindings {

void bind_distributed(py::module_& module) {
  module.def("make_process_group", &torch_backend::make_process_group, py::arg("transport"), py::arg("host"),
             py::arg("global_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of the device over two that carry bytes in host memory between the same ranks.");
  module.def("make_mirrored_group", &torch_backend::make_mirrored_group, py::arg("rank"), py::arg("global_ranks"),
             py::arg("host"), py::arg("present"), py::arg("present_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of a group whose other ranks do not exist, and are taken to do what this one does.");
  module.def("make_mirrored_host_group", &torch_backend::make_mirrored_host_group, py::arg("rank"), py::arg("size"),
             "The same for tensors in host memory.");
}

}  // namespace mtia::bindings
