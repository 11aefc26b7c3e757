// The launcher of Triton kernels: a vectorcall object, because a launch from Python must cost no more than a few
// microseconds.
#include <pybind11/pybind11.h>

#include <structmember.h>

#include <cstddef>
#include <memory>
#include <string>

#include "bindings/argument_codes.h"
#include "bindings/argument_packer.h"
#include "bindings/bind_runtime.h"
#include "bindings/program_handle.h"
#include "torch_backend/device.h"
#include "torch_backend/launching/graph_capture.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

// gx, gy, gz, stream, program, packed metadata, launch metadata, enter hook, exit hook
constexpr Py_ssize_t fixed_arguments = 9;

struct Launcher {
  PyObject_HEAD vectorcallfunc vectorcall;
  ArgumentCodes* codes;
};

// The program of the last launch through any launcher, for torch.mtia_sim.explain(); under the GIL.
PyObject* last_program = nullptr;

uint32_t grid_size(PyObject* number) {
  const long size = PyLong_AsLong(number);
  if (size == -1 && PyErr_Occurred()) throw py::error_already_set();
  if (size < 0 || size > INT32_MAX) {
    throw InvalidArgument(concat("a grid dimension of ", size), "kernel launch", "grid dimensions are 0 to 2147483647");
  }
  return static_cast<uint32_t>(size);
}

void call_hook(PyObject* hook, PyObject* metadata) {
  if (hook == Py_None) return;
  const auto result = py::reinterpret_steal<py::object>(PyObject_CallOneArg(hook, metadata));
  if (!result) throw py::error_already_set();
}

void launch_triton(const ArgumentCodes& codes, PyObject* const* arguments, Py_ssize_t count) {
  const auto expected = static_cast<Py_ssize_t>(codes.codes.size());
  if (count != fixed_arguments + expected) {
    throw InvalidArgument(concat(count - fixed_arguments, " kernel arguments instead of ", expected), "kernel launch");
  }
  emulator::Launch launch;
  launch.grid = {grid_size(arguments[0]), grid_size(arguments[1]), grid_size(arguments[2])};
  if (launch.grid[0] == 0 || launch.grid[1] == 0 || launch.grid[2] == 0) return;
  const c10::DeviceIndex device = torch_backend::current_device();
  const runtime::StreamId stream = PyLong_AsLongLong(arguments[3]);
  if (stream == -1 && PyErr_Occurred()) throw py::error_already_set();
  launch.program = py::cast<const ProgramHandle&>(py::handle(arguments[4])).take();
  ArgumentPacker packer(launch, device, codes.confined);
  for (Py_ssize_t i = 0; i < expected; ++i)
    packer.pack(codes.codes[static_cast<size_t>(i)], arguments[fixed_arguments + i]);
  packer.finish();
  call_hook(arguments[7], arguments[6]);
  torch_backend::submit_launch(device, stream, std::move(launch));
  if (last_program != arguments[4]) Py_XSETREF(last_program, Py_NewRef(arguments[4]));
  call_hook(arguments[8], arguments[6]);
}

PyObject* call(PyObject* self, PyObject* const* arguments, size_t count_and_flag, PyObject* keywords) {
  try {
    const Py_ssize_t count = PyVectorcall_NARGS(count_and_flag);
    if ((keywords != nullptr && PyTuple_GET_SIZE(keywords) != 0) || count < fixed_arguments) {
      throw InvalidArgument("a launcher takes nine positional arguments and the kernel's own", "kernel launch");
    }
    launch_triton(*reinterpret_cast<Launcher*>(self)->codes, arguments, count);
    Py_RETURN_NONE;
  } catch (const Error& error) {
    set_python_error(error);
  } catch (py::error_already_set& error) {
    error.restore();
  } catch (const py::builtin_exception& error) {
    error.set_error();
  } catch (const std::exception& error) {
    PyErr_SetString(PyExc_RuntimeError, error.what());
  }
  return nullptr;
}

void destroy(PyObject* self) {
  delete reinterpret_cast<Launcher*>(self)->codes;
  PyTypeObject* type = Py_TYPE(self);
  type->tp_free(self);
  Py_DECREF(type);
}

PyMemberDef members[] = {{"__vectorcalloffset__", T_PYSSIZET, offsetof(Launcher, vectorcall), READONLY, nullptr}, {}};

PyType_Slot slots[] = {{Py_tp_dealloc, reinterpret_cast<void*>(&destroy)},
                       {Py_tp_call, reinterpret_cast<void*>(&PyVectorcall_Call)},
                       {Py_tp_members, members},
                       {Py_tp_doc, const_cast<char*>("Packs a Triton kernel's arguments and launches it.")},
                       {0, nullptr}};

PyType_Spec spec = {"mtia_sim._C.Launcher", sizeof(Launcher), 0,
                    Py_TPFLAGS_DEFAULT | Py_TPFLAGS_HAVE_VECTORCALL | Py_TPFLAGS_DISALLOW_INSTANTIATION, slots};

}  // namespace

void bind_launcher(py::module_& module) {
  const auto type = py::reinterpret_steal<py::object>(PyType_FromSpec(&spec));
  if (!type) throw py::error_already_set();
  module.attr("Launcher") = type;
  module.def(
      "make_launcher",
      [type](const std::string& codes) {
        auto parsed = std::make_unique<ArgumentCodes>(parse_argument_codes(codes));
        auto* type_object = reinterpret_cast<PyTypeObject*>(type.ptr());
        PyObject* self = type_object->tp_alloc(type_object, 0);
        if (self == nullptr) throw py::error_already_set();
        auto* launcher = reinterpret_cast<Launcher*>(self);
        launcher->vectorcall = &call;
        launcher->codes = parsed.release();
        return py::reinterpret_steal<py::object>(self);
      },
      py::arg("codes"),
      "A callable that packs arguments by their codes (csrc/bindings/argument_codes.h) and launches a program.");
  module.def(
      "last_launched",
      [] { return last_program == nullptr ? py::none() : py::reinterpret_borrow<py::object>(last_program); },
      "The program that a launcher launched last, None before the first.");
}

}  // namespace mtia::bindings
