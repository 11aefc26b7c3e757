// Which line of Python is the user's: the innermost one outside of torch, triton and this project.
#pragma once

#include <Python.h>

#include <optional>
#include <string>

namespace mtia::bindings {

struct UserLine {
  const std::string& file;  // the path that the code was compiled under; for the life of the process
  int number = 0;
};

// Looks up where the libraries lie; before the first user_line that is to leave them out. With Python's lock.
void find_library_folders();

// From a frame (may be nullptr) outwards. With Python's lock; leaves Python's error indicator alone.
std::optional<UserLine> user_line(PyFrameObject* innermost);

}  // namespace mtia::bindings
