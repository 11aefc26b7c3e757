// The process group as torch.distributed takes it, and what the network model says of a collective.
#include <pybind11/chrono.h>
#include <pybind11/stl.h>
#include <torch/csrc/utils/pybind.h>
#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <string>
#include <utility>
#include <vector>

#include "base/error.h"
#include "bindings/bind_runtime.h"
#include "chip/chip_spec.h"
#include "network/network.h"
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

}  // namespace

void bind_distributed(py::module_& module) {
  module.def("make_process_group", &torch_backend::make_process_group, py::arg("transport"), py::arg("host"),
             py::arg("global_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of the device over two that carry bytes in host memory between the same ranks.");
  module.def(
      "set_cluster", [](const std::string& cluster) { network::set_present_cluster(network::Cluster::parse(cluster)); },
      py::arg("cluster"), "How this process takes its chips to be wired: what Chip.serialise_cluster returns.");
  module.def("collective_account", &collective_account, py::arg("chip"), py::arg("cluster"), py::arg("name"),
             py::arg("bytes"), py::arg("ranks"),
             "network::account of a serialised chip and cluster: seconds, joules, bytes sent and the algorithm.");
  module.def("make_mirrored_group", &torch_backend::make_mirrored_group, py::arg("rank"), py::arg("global_ranks"),
             py::arg("host"), py::arg("present"), py::arg("present_ranks"), py::arg("name"), py::arg("timeout"),
             "A c10d backend of a group whose other ranks do not exist, and are taken to do what this one does.");
  module.def("make_mirrored_host_group", &torch_backend::make_mirrored_host_group, py::arg("rank"), py::arg("size"),
             "The same for tensors in host memory.");
}

}  // namespace mtia::bindings
