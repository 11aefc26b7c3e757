// Carries mtia::Error into Python as the class of its category in mtia_core.errors, through PyTorch's own exception
// translation.
#pragma once

#include <utility>

#include "base/error.h"

typedef struct _object PyObject;

namespace mtia::torch_backend {

// Rethrows an error as an exception that PyTorch's bindings turn into the Python class of its category.
[[noreturn]] void throw_for_python(const Error& error);

// Runs a function that may throw mtia::Error on behalf of an ATen operator.
template <typename Function>
decltype(auto) surfacing_errors(Function&& function) {
  try {
    return std::forward<Function>(function)();
  } catch (const Error& error) {
    throw_for_python(error);
  }
}

// The Python class of a category; borrowed for the life of the process.
void set_python_class(ErrorCategory category, PyObject* exception_class);

}  // namespace mtia::torch_backend
