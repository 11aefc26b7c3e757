// C++ kernels of the tile API as Python holds them: loading of a shared object, and launches with arguments by name.
#include <ATen/core/Tensor.h>
#include <pybind11/pybind11.h>
#include <pybind11/stl.h>
#include <torch/csrc/autograd/python_variable.h>

#include <bit>
#include <cstring>
#include <string>
#include <vector>

#include "base/dtype.h"
#include "bindings/bind_runtime.h"
#include "emulator/tile_kernels/interface.h"
#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/graph_capture.h"
#include "torch_backend/launching/launch_notes.h"
#include "torch_backend/memory/address.h"
#include "torch_backend/streams/stream.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

struct TileKernelHandle {
  const emulator::TileKernel* kernel;  // lives as long as the process, as its shared object does
};

std::vector<TileKernelHandle> load(const std::string& path) {
  std::vector<TileKernelHandle> handles;
  for (const emulator::TileKernel* kernel : emulator::load_tile_kernels(path)) handles.push_back({kernel});
  return handles;
}

// Writes one launch's arguments into the kernel's struct.
class Packer {
 public:
  Packer(emulator::Launch& launch, const mtia_kernel& kernel, int device)
      : launch_(launch), kernel_(kernel), device_(device) {
    launch_.arguments.resize((kernel.argument_bytes + 7) / 8);
    if (launch_.arguments.size() != 0) std::memset(launch_.arguments.data(), 0, launch_.arguments.size() * 8);
  }

  void pack(const mtia_argument& argument, py::handle value) {
    switch (argument.kind) {
      case mtia_argument_tensor:
        return pack_tensor(argument, value);
      case mtia_argument_work_queue: {
        const int64_t words[] = {py::cast<int64_t>(value), queues_++};
        return write(argument.offset, words, sizeof(words));
      }
      default:
        return pack_number(argument, value);
    }
  }

 private:
  void write(size_t offset, const void* bytes, size_t count) {
    std::memcpy(reinterpret_cast<std::byte*>(launch_.arguments.data()) + offset, bytes, count);
  }

  [[noreturn]] void refuse(const mtia_argument& argument, const std::string& problem, const std::string& remedy) const {
    throw InvalidArgument(concat("argument ", argument.name, " ", problem), concat("launch of kernel ", kernel_.name),
                          remedy);
  }

  // "(0, 0)" of a tensor of two dimensions.
  static std::string empty_shape(const mtia_argument& argument) {
    std::string shape = "(0";
    for (uint8_t d = 1; d < argument.rank; ++d) shape += ", 0";
    return shape + (argument.rank == 1 ? ",)" : ")");
  }

  void pack_tensor(const mtia_argument& argument, py::handle value) {
    if (!THPVariable_Check(value.ptr())) {
      refuse(argument, value.is_none() ? "is None" : concat("is a ", Py_TYPE(value.ptr())->tp_name),
             concat("pass an mtia_sim tensor; one without elements is torch.empty(", empty_shape(argument),
                    ", device='mtia_sim')"));
    }
    const at::Tensor& tensor = THPVariable_Unpack(value.ptr());
    const c10::Device device = tensor.device();
    if (device.type() != torch_backend::device_type || device.index() != device_) {
      refuse(argument, concat("is a tensor on ", device.str(), ", the kernel is launched on mtia_sim:", device_),
             concat("move it there with .to('mtia_sim:", device_, "')"));
    }
    const torch_backend::ChipDType dtype = torch_backend::chip_dtype(tensor.scalar_type());
    const auto wanted = static_cast<DType>(argument.dtype);
    const bool same_sign = is_float(wanted) || wanted == DType::I1 || dtype.is_unsigned == (argument.is_signed == 0);
    if (dtype.dtype != wanted || !same_sign) {
      refuse(argument,
             concat("holds ", c10::toString(tensor.scalar_type()), ", the kernel takes ",
                    is_float(wanted) || argument.is_signed != 0 || wanted == DType::I1 ? "" : "unsigned ",
                    name_of(wanted)),
             "convert it, or compile the kernel for its type");
    }
    if (tensor.dim() != argument.rank) {
      refuse(argument, concat("has ", tensor.dim(), " dimensions, the kernel takes ", static_cast<int>(argument.rank)),
             "reshape it");
    }
    std::vector<uint64_t> words(1 + 2 * static_cast<size_t>(argument.rank));
    words[0] = torch_backend::address_of(tensor);
    for (uint8_t d = 0; d < argument.rank; ++d) {
      words[1 + d] = static_cast<uint64_t>(tensor.size(d));
      words[1 + argument.rank + d] = static_cast<uint64_t>(tensor.stride(d));
    }
    write(argument.offset, words.data(), words.size() * 8);
    if (runtime::is_checking()) {
      if (!notes_) notes_ = std::make_shared<emulator::LaunchNotes>();
      notes_->tensors.push_back(torch_backend::note_of(tensor, argument.name));
      launch_.notes = notes_;
    }
    if (tensor.has_storage() && tensor.storage().nbytes() != 0) {
      const auto begin = reinterpret_cast<uint64_t>(tensor.storage().data());
      launch_.extents.push_back({begin, begin + tensor.storage().nbytes()});
    }
  }

  void pack_number(const mtia_argument& argument, py::handle value) {
    switch (static_cast<DType>(argument.dtype)) {
      case DType::F32: {
        const auto number = static_cast<float>(real(argument, value));
        return write(argument.offset, &number, sizeof(number));
      }
      case DType::F64: {
        const double number = real(argument, value);
        return write(argument.offset, &number, sizeof(number));
      }
      case DType::I1: {
        py::detail::make_caster<bool> caster;
        if (!caster.load(value, /*convert=*/true)) refuse_value(argument, value, "True or False");
        const auto number = py::detail::cast_op<bool>(caster);
        return write(argument.offset, &number, sizeof(number));
      }
      default:
        return pack_integer(argument, value);
    }
  }

  // Python's own error of a value that is no number of the kind knows neither kernel nor argument.
  [[noreturn]] void refuse_value(const mtia_argument& argument, py::handle value, const char* wanted) const {
    PyErr_Clear();
    refuse(argument, concat("is a ", Py_TYPE(value.ptr())->tp_name), concat("pass ", wanted));
  }

  double real(const mtia_argument& argument, py::handle value) const {
    const double number = PyFloat_AsDouble(value.ptr());
    if (number == -1.0 && PyErr_Occurred()) refuse_value(argument, value, "a number");
    return number;
  }

  void pack_integer(const mtia_argument& argument, py::handle value) {
    const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(value.ptr()));
    if (!index) refuse_value(argument, value, "an integer");
    int overflow = 0;
    const int64_t number = PyLong_AsLongLongAndOverflow(index.ptr(), &overflow);
    uint64_t bits = static_cast<uint64_t>(number);
    const unsigned width = argument.bytes * 8;
    bool fits = overflow == 0;
    if (argument.is_signed == 0 && overflow > 0 && width == 64) {
      bits = PyLong_AsUnsignedLongLong(index.ptr());
      fits = PyErr_Occurred() == nullptr;
      PyErr_Clear();
    } else if (fits && argument.is_signed == 0) {
      fits = number >= 0 && (width == 64 || bits >> width == 0);
    } else if (fits && width < 64) {
      fits = number >= -(int64_t{1} << (width - 1)) && number < int64_t{1} << (width - 1);
    }
    if (!fits) {
      refuse(argument, concat("is ", py::str(value).cast<std::string>(), ", which ", width, " bits do not hold"),
             "pass a smaller number, or give the argument a wider type");
    }
    write(argument.offset, &bits, argument.bytes);
  }

  emulator::Launch& launch_;
  const mtia_kernel& kernel_;
  int device_;
  int64_t queues_ = 0;
  std::shared_ptr<emulator::LaunchNotes> notes_;  // in checked mode
};

void launch(const TileKernelHandle& handle, uint32_t rows, uint32_t columns, const py::tuple& arguments) {
  const mtia_kernel& kernel = *handle.kernel->roles;
  if (arguments.size() != kernel.argument_count) {
    throw InvalidArgument(concat(arguments.size(), " arguments instead of ", kernel.argument_count),
                          concat("launch of kernel ", kernel.name));
  }
  emulator::Launch launch;
  launch.kernel = handle.kernel;
  launch.grid = {rows, columns, 1};
  const c10::DeviceIndex device = torch_backend::current_device();
  Packer packer(launch, kernel, device);
  for (uint32_t i = 0; i < kernel.argument_count; ++i) packer.pack(kernel.arguments[i], arguments[i]);
  const runtime::StreamId stream = torch_backend::current_stream_id(device);
  const py::gil_scoped_release no_gil;
  torch_backend::submit_launch(device, stream, std::move(launch));
}

py::list arguments_of(const TileKernelHandle& handle) {
  const mtia_kernel& kernel = *handle.kernel->roles;
  py::list all;
  for (uint32_t i = 0; i < kernel.argument_count; ++i) {
    const mtia_argument& argument = kernel.arguments[i];
    const char* kinds[] = {"tensor", "number", "work_queue"};
    all.append(py::make_tuple(argument.name, kinds[argument.kind],
                              std::string(name_of(static_cast<DType>(argument.dtype))), argument.rank));
  }
  return all;
}

py::list roles_of(const TileKernelHandle& handle) {
  py::list all;
  for (uint32_t i = 0; i < handle.kernel->roles->role_count; ++i) {
    const mtia_role_entry& role = handle.kernel->roles->roles[i];
    all.append(py::str(role.name, role.name_length));
  }
  return all;
}

}  // namespace

void bind_tile_kernels(py::module_& module) {
  py::class_<TileKernelHandle>(module, "TileKernel", "A C++ kernel of the tile API, in a loaded shared object.")
      .def_property_readonly("name",
                             [](const TileKernelHandle& handle) { return std::string(handle.kernel->roles->name); })
      .def_property_readonly("arguments", &arguments_of, "(name, kind, dtype, dimensions) of each argument.")
      .def_property_readonly("roles", &roles_of, "The names of its roles.")
      .def("launch", &launch, py::arg("rows"), py::arg("columns"), py::arg("arguments"),
           "Launches it on the current stream on rows x columns PEs; (0, 0): the whole grid, (n, 0): n PEs.");
  module.def("load_tile_kernels", &load, py::arg("path"), "Loads the kernels of a shared object.");
}

}  // namespace mtia::bindings
