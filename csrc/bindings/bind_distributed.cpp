// The process group as torch.distributed takes it, and what the network model says of a collective.
#include <pybind11/chrono.h>
#include <pybind11/functional.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>
#include <torch/csrc/distributed/c10d/Store.hpp>

#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bind_runtime.h"
#include "bindings/user_line.h"
#include "chip/chip_spec.h"
#include "network/network.h"
#include "torch_backend/distributed/flight_recorder.h"
#include "torch_backend/distributed/mirrored_group.h"
#include "torch_backend/distributed/process_group.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

network::Collective collective_named(const std::string& name) {
  std::string known;
  for (size_t kind = 0; kind < network::collective_count; ++kind) {
    const auto collective = static_cast<network::Collective>(kind);
    if (network::name_of(collective) == name) return collective;
    known += concat(known.empty() ? "" : ", ", network::name_of(collective));
  }
  throw InvalidArgument(concat("there is no collective '", name, "'"), "", concat("give one of ", known));
}

py::dict collective_account(const std::string& chip, const std::string& cluster, const std::string& name,
                            uint64_t bytes, const std::vector<int64_t>& ranks) {
  const network::NetworkAccount account =
      network::account(ChipSpec::parse(chip, "collective_account"), network::Cluster::parse(cluster),
                       collective_named(name), bytes, ranks);
  py::dict found;
  found["seconds"] = account.seconds;
  found["joules"] = account.joules;
  found["peer_bytes"] = account.peer_bytes;
  found["scale_out_bytes"] = account.scale_out_bytes;
  found["algorithm"] = std::string(account.algorithm);
  return found;
}

std::pair<std::string, int64_t> caller_line() {
  if (Py_IsInitialized() == 0) return {};
  const py::gil_scoped_acquire gil;
  find_library_folders();
  const std::optional<UserLine> line = user_line(PyEval_GetFrame());
  return line.has_value() ? std::pair<std::string, int64_t>{line->file, line->number}
                          : std::pair<std::string, int64_t>{};
}

void bind_seams(py::module_& module) {
  module.def("set_group_factory", &torch_backend::set_group_factory, py::arg("factory"),
             "How groups that are split from others are made: (backend, store, global_ranks, rank, name, timeout).");
  module.def("start_time_estimate", &torch_backend::start_time_estimate, py::arg("backend"),
             "From here on the group adds up what the network model says, and moves nothing.");
  module.def("end_time_estimate", &torch_backend::end_time_estimate, py::arg("backend"),
             "Ends that, and gives microseconds.");
  module.def("group_timeout", &torch_backend::timeout_of, py::arg("backend"), "Of a group of this device.");
  module.def("group_splits", &torch_backend::splits_of, py::arg("backend"), "How many groups were split off it.");
  module.def(
      "dump_flight_record",
      [](bool only_active) { return py::bytes(torch_backend::FlightRecorder::get().dump(only_active)); },
      py::arg("only_active"), "The last calls of this process's groups, pickled as torch's analyser reads them.");
  module.def(
      "write_flight_record", [] { torch_backend::FlightRecorder::get().write(); },
      py::call_guard<py::gil_scoped_release>(), "The same to the file of TORCH_FR_DUMP_TEMP_FILE and the rank.");
  torch_backend::FlightRecorder::get().set_caller_line(&caller_line);
}

}  // namespace

void bind_distributed(py::module_& module) {
  bind_seams(module);
  py::class_<torch_backend::GroupMeans>(module, "GroupMeans", "What a group is made of.")
      .def(py::init<c10::intrusive_ptr<c10d::Backend>, c10::intrusive_ptr<c10d::Store>, std::string>(), py::arg("host"),
           py::arg("store"), py::arg("backend"));
  module.def("make_process_group", &torch_backend::make_process_group, py::arg("transport"), py::arg("means"),
             py::arg("global_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of the device over two that carry bytes in host memory between the same ranks.");
  module.def(
      "set_cluster", [](const std::string& cluster) { network::set_present_cluster(network::Cluster::parse(cluster)); },
      py::arg("cluster"), "How this process takes its chips to be wired: what Chip.serialise_cluster returns.");
  module.def("collective_account", &collective_account, py::arg("chip"), py::arg("cluster"), py::arg("name"),
             py::arg("bytes"), py::arg("ranks"),
             "network::account of a serialised chip and cluster: seconds, joules, bytes sent and the algorithm.");
  module.def("make_mirrored_group", &torch_backend::make_mirrored_group, py::arg("rank"), py::arg("global_ranks"),
             py::arg("means"), py::arg("present"), py::arg("present_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of a group whose other ranks do not exist, and are taken to do what this one does.");
  module.def("make_mirrored_host_group", &torch_backend::make_mirrored_host_group, py::arg("rank"), py::arg("size"),
             "The same for tensors in host memory.");
}

}  // namespace mtia::bindings
