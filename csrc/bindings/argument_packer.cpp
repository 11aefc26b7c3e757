// Conversions of Python numbers and tensors.
#include "bindings/argument_packer.h"

#include <pybind11/pybind11.h>
#include <torch/csrc/autograd/python_variable.h>

#include <bit>
#include <cstring>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "runtime/checking.h"
#include "torch_backend/device.h"
#include "torch_backend/launching/launch_notes.h"
#include "torch_backend/memory/address.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

// The low 64 bits; accepts whatever has __index__.
uint64_t integer_bits(PyObject* number) {
  if (PyLong_Check(number)) return PyLong_AsUnsignedLongLongMask(number);
  const auto index = py::reinterpret_steal<py::object>(PyNumber_Index(number));
  if (!index) throw py::error_already_set();
  return PyLong_AsUnsignedLongLongMask(index.ptr());
}

template <typename Integer>
uint64_t wrapped(PyObject* number) {
  return static_cast<uint64_t>(static_cast<int64_t>(static_cast<Integer>(integer_bits(number))));
}

double real(PyObject* number) {
  const double value = PyFloat_AsDouble(number);
  if (value == -1.0 && PyErr_Occurred()) throw py::error_already_set();
  return value;
}

uint64_t number_bits(char kind, PyObject* number) {
  switch (kind) {
    case '1':
      return integer_bits(number) != 0 ? 1 : 0;
    case 'b':
      return wrapped<int8_t>(number);
    case 'h':
      return wrapped<int16_t>(number);
    case 'i':
      return wrapped<int32_t>(number);
    case 'l':
      return integer_bits(number);
    case 'e':
      return f16_from_f32(static_cast<float>(real(number)));
    case 'y':
      return bf16_from_f32(static_cast<float>(real(number)));
    case 'f':
      return bits_of_float(static_cast<float>(real(number)));
    case 'd':
      return std::bit_cast<uint64_t>(real(number));
    default:
      throw InternalError(concat("argument code '", kind, "'"));
  }
}

}  // namespace

void ArgumentPacker::pack(const ArgumentCode& code, PyObject* argument) {
  ++place_;
  switch (code.kind) {
    case '-':
      return;
    case 'P':
      return pack_pointer(argument);
    case 'D':
      return pack_descriptor(code, argument);
    case '(': {
      if (!PyTuple_Check(argument) || static_cast<size_t>(PyTuple_GET_SIZE(argument)) != code.members.size()) {
        throw InvalidArgument(concat("argument ", place_, " is not the tuple of ", code.members.size(),
                                     " that the kernel was compiled for"),
                              "kernel launch");
      }
      const int place = place_;
      for (size_t i = 0; i < code.members.size(); ++i) {
        pack(code.members[i], PyTuple_GET_ITEM(argument, static_cast<Py_ssize_t>(i)));
        place_ = place;
      }
      return;
    }
    default:
      launch_.arguments.push_back(number_bits(code.kind, argument));
  }
}

void ArgumentPacker::pack_pointer(PyObject* argument) {
  if (THPVariable_Check(argument)) {
    const at::Tensor& tensor = THPVariable_Unpack(argument);
    const c10::Device device = tensor.device();
    if (device.type() != torch_backend::device_type || device.index() != device_) {
      throw InvalidArgument(concat("pointer argument ", place_, " is a tensor on ", device.str(),
                                   ", the kernel is launched on mtia_sim:", device_),
                            "kernel launch",
                            concat("move it there with .to('mtia_sim:", device_,
                                   "'), or select its device with torch.mtia_sim.set_device"));
    }
    if (runtime::is_checking()) add_note(tensor);
    push_address(torch_backend::address_of(tensor));
    if (confined_ && tensor.has_storage() && tensor.storage().nbytes() != 0) {
      const auto begin = reinterpret_cast<uint64_t>(tensor.storage().data());
      launch_.extents.push_back({begin, begin + tensor.storage().nbytes()});
    }
    return;
  }
  if (argument == Py_None) return push_address(0);
  if (PyLong_Check(argument)) {
    confined_ = false;  // nobody knows how far this address may reach
    return push_address(integer_bits(argument));
  }
  const auto method = py::reinterpret_steal<py::object>(PyObject_GetAttrString(argument, "data_ptr"));
  if (!method) {
    PyErr_Clear();
    throw InvalidArgument(concat("pointer argument ", place_, " is a ", Py_TYPE(argument)->tp_name), "kernel launch",
                          "pass an mtia_sim tensor");
  }
  // A view that Triton wraps around a tensor: its base says which memory it is.
  if (const auto base = py::reinterpret_steal<py::object>(PyObject_GetAttrString(argument, "base")))
    return pack_pointer(base.ptr());
  PyErr_Clear();
  confined_ = false;
  push_address(integer_bits(method().ptr()));
}

void ArgumentPacker::pack_descriptor(const ArgumentCode& code, PyObject* descriptor) {
  const py::handle object(descriptor);
  pack_pointer(py::object(object.attr("base")).ptr());
  launch_.arguments.push_back(py::cast<std::string>(object.attr("padding")) == "nan" ? 1 : 0);
  for (const char* list_name : {"shape", "strides"}) {
    const py::sequence list = object.attr(list_name);
    if (list.size() != code.rank) {
      throw InvalidArgument(concat("argument ", place_, ": the descriptor's ", list_name, " has ", list.size(),
                                   " entries, the kernel was compiled for ", static_cast<int>(code.rank)),
                            "kernel launch");
    }
    for (const py::handle entry : list) launch_.arguments.push_back(integer_bits(entry.ptr()));
  }
}

// Of the argument that is pushed next.
void ArgumentPacker::add_note(const at::TensorBase& tensor) {
  const size_t argument = launch_.arguments.size();
  const auto& parameters = emulator::parameters_of(*launch_.program);
  if (argument >= parameters.size()) return;
  if (!notes_) {
    notes_ = std::make_shared<emulator::LaunchNotes>();
    notes_->tensor_of_argument.assign(parameters.size(), emulator::LaunchNotes::no_tensor);
  }
  notes_->tensor_of_argument[argument] = static_cast<uint32_t>(notes_->tensors.size());
  notes_->tensors.push_back(torch_backend::note_of(tensor, parameters[argument].name));
}

void ArgumentPacker::finish() {
  if (!confined_) launch_.extents.clear();
  launch_.notes = std::move(notes_);
}

}  // namespace mtia::bindings
