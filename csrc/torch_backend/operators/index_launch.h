// Launches of the kernels that read or write where index tensors say (kernels/triton/indexing.py), from the box of a
// TensorIterator, of any number of dimensions and index tensors.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mtia::torch_backend {

// What a kernel's index tensors index. Strides in bytes.
struct Indexed {
  c10::IntArrayRef sizes;
  c10::IntArrayRef strides;
  bool wraps = false;           // negative indices count from the end
  int64_t first_dimension = 0;  // its number in messages; of several index tensors each is called by its own
};

// `kernel`: index_take, index_put, index_add, index_amax or index_amin. The iterator's operands `fixed` and `indexed`
// are the two sides, `indices` the index tensors. Where fixed is negative, `value` (one element) is the fixed side. An
// index out of range is refused by the kernel, under the name of the OperatorScope.
void launch_index(const char* kernel, const at::TensorIteratorBase& iterator, int fixed, int indexed,
                  c10::IntArrayRef indices, const Indexed& along, const at::Tensor& value = {});

// All operands behind the second are index tensors, whose negative indices count from the end.
void launch_index_list(const char* kernel, const at::TensorIteratorBase& iterator, int fixed, int indexed,
                       c10::IntArrayRef sizes, c10::IntArrayRef strides);

}  // namespace mtia::torch_backend
