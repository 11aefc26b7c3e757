// What is known of a code object is kept: frames are walked for every command in checked mode.
#include "bindings/user_line.h"

#include <pybind11/pybind11.h>

#include <frameobject.h>

#include <cstdlib>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace py = pybind11;

namespace mtia::bindings {
namespace {

// Each ends with a slash.
std::vector<std::string>& library_folders() {
  static auto* const folders = new std::vector<std::string>;
  return *folders;
}

struct CodeInfo {
  std::string file;
  bool is_librarys = false;
};

bool is_librarys(std::string_view file) {
  // The importer's own code, and what torch.fx and Inductor generate.
  if (file.starts_with("<frozen ") || file.starts_with("<eval_with_key>")) return true;
  if (file.find("/torchinductor_") != std::string_view::npos) return true;
  if (const char* cache = std::getenv("TORCHINDUCTOR_CACHE_DIR"); cache != nullptr && *cache != '\0') {
    if (file.starts_with(cache)) return true;
  }
  for (const std::string& folder : library_folders()) {
    if (file.starts_with(folder)) return true;
  }
  return false;
}

// With a reference kept to each, so that an address stays its code's.
const CodeInfo& info_of(PyCodeObject* code) {
  static auto* const known = new std::unordered_map<PyCodeObject*, CodeInfo>;
  const auto [entry, added] = known->try_emplace(code);
  if (!added) return entry->second;
  Py_INCREF(code);
  const py::error_scope kept;
  Py_ssize_t length = 0;
  if (const char* name = PyUnicode_AsUTF8AndSize(code->co_filename, &length); name != nullptr) {
    entry->second.file.assign(name, static_cast<size_t>(length));
    entry->second.is_librarys = is_librarys(entry->second.file);
  } else {
    PyErr_Clear();  // a path that is no text: nobody can be shown it
    entry->second.is_librarys = true;
  }
  return entry->second;
}

}  // namespace

void find_library_folders() {
  if (!library_folders().empty()) return;
  const py::object find = py::module_::import("importlib.util").attr("find_spec");
  // Found, not imported: some may be imported later.
  for (const char* name : {"torch", "triton", "triton_mtia_sim", "mtia_sim", "mtia_sim_kernels"}) {
    const py::object spec = find(name);
    if (spec.is_none() || spec.attr("submodule_search_locations").is_none()) continue;
    for (const py::handle folder : spec.attr("submodule_search_locations"))
      library_folders().push_back(folder.cast<std::string>() + "/");
  }
}

std::optional<UserLine> user_line(PyFrameObject* innermost) {
  std::optional<UserLine> text;
  auto frame = py::reinterpret_borrow<py::object>(reinterpret_cast<PyObject*>(innermost));
  while (frame) {
    auto* raw = reinterpret_cast<PyFrameObject*>(frame.ptr());
    const auto code = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetCode(raw)));
    const CodeInfo& info = info_of(reinterpret_cast<PyCodeObject*>(code.ptr()));
    if (!info.is_librarys) {
      const UserLine line{info.file, PyFrame_GetLineNumber(raw)};
      // Libraries run text of their own by exec, as `python -c` does a user's: a file counts for more.
      if (info.file != "<string>") return line;
      if (!text) text.emplace(line);
    }
    frame = py::reinterpret_steal<py::object>(reinterpret_cast<PyObject*>(PyFrame_GetBack(raw)));
  }
  return text;
}

}  // namespace mtia::bindings
