// mtia::Error of a bound function becomes the class of its category in mtia_core.errors.
#include <pybind11/pybind11.h>

#include <array>
#include <exception>

#include "base/error.h"
#include "bindings/bind_runtime.h"
#include "torch_backend/errors.h"

namespace py = pybind11;

namespace mtia::bindings {
namespace {

constexpr ErrorCategory all_categories[] = {
#define MTIA_ERROR_ROW(name) ErrorCategory::name,
    MTIA_ERROR_CATEGORIES(MTIA_ERROR_ROW)
#undef MTIA_ERROR_ROW
};

std::array<PyObject*, std::size(all_categories)> classes{};  // owned, for the life of the process

void set_error_classes(const py::dict& by_name) {
  for (const ErrorCategory category : all_categories) {
    const py::str name{std::string(name_of(category))};
    if (!by_name.contains(name)) throw InternalError(concat("mtia_core.errors lacks a class for ", name_of(category)));
    const py::object exception_class = by_name[name];
    classes[static_cast<size_t>(category)] = exception_class.inc_ref().ptr();
    torch_backend::set_python_class(category, exception_class.ptr());
  }
}

}  // namespace

// Python's class builds the message from the same three parts as C++'s.
void set_python_error(const Error& error) {
  const py::handle exception_class(classes[static_cast<size_t>(error.category())]);
  if (!exception_class) return PyErr_SetString(PyExc_RuntimeError, error.what());
  try {
    const py::object exception = exception_class(error.problem(), error.where(), error.remedy());
    PyErr_SetObject(exception_class.ptr(), exception.ptr());
  } catch (py::error_already_set& failure) {
    failure.restore();
  }
}

void bind_errors(py::module_& module) {
  py::register_exception_translator([](std::exception_ptr pointer) {
    try {
      if (pointer) std::rethrow_exception(pointer);
    } catch (const Error& error) {
      set_python_error(error);
    }
  });
  module.def("set_error_classes", &set_error_classes, py::arg("by_name"),
             "Sets the Python class of each error category.");
}

}  // namespace mtia::bindings
