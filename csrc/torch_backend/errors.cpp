// torch::PyTorchError is the one base class whose Python type PyTorch's exception translation asks for.
#include "torch_backend/errors.h"

#include <torch/csrc/Exceptions.h>

#include <array>
#include <string>

namespace mtia::torch_backend {
namespace {

#define MTIA_ERROR_ROW(name) +1
constexpr size_t category_count = 0 MTIA_ERROR_CATEGORIES(MTIA_ERROR_ROW);
#undef MTIA_ERROR_ROW

std::array<PyObject*, category_count> python_classes{};

struct ErrorForPython : torch::PyTorchError {
  // The Python class puts its own name in front.
  explicit ErrorForPython(const Error& error)
      : torch::PyTorchError(std::string(error.what()).substr(name_of(error.category()).size() + 2)),
        category(error.category()) {}

  PyObject* python_type() override {
    PyObject* exception_class = python_classes[static_cast<size_t>(category)];
    return exception_class != nullptr ? exception_class : PyExc_RuntimeError;
  }

  ErrorCategory category;
};

}  // namespace

void throw_for_python(const Error& error) { throw ErrorForPython(error); }

void set_python_class(ErrorCategory category, PyObject* exception_class) {
  python_classes.at(static_cast<size_t>(category)) = exception_class;
}

}  // namespace mtia::torch_backend
