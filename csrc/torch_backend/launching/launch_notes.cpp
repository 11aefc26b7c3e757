// From tensors to notes.
#include "torch_backend/launching/launch_notes.h"

#include <utility>

namespace mtia::torch_backend {

emulator::TensorNote note_of(const at::TensorBase& tensor, std::string name) {
  emulator::TensorNote note;
  note.name = std::move(name);
  note.address = reinterpret_cast<uint64_t>(tensor.const_data_ptr());
  note.item_bytes = tensor.itemsize();
  note.sizes = tensor.sizes().vec();
  note.strides = tensor.strides().vec();
  note.find_reach();
  return note;
}

emulator::TensorNote note_of_memory(uint64_t address, size_t bytes, std::string name) {
  emulator::TensorNote note;
  note.name = std::move(name);
  note.address = address;
  note.sizes = {static_cast<int64_t>(bytes)};
  note.strides = {1};
  note.find_reach();
  return note;
}

}  // namespace mtia::torch_backend
