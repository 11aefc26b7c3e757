// How a Triton launch's Python arguments become 64-bit words: one code an argument, as triton_mtia_sim/driver.py writes
// them.
//   -            a constexpr, skipped
//   P            a pointer: a tensor, an object with data_ptr(), an int, or None
//   1 b h i l    integers of 1, 8, 16, 32, 64 bits: wrapped to the width, sign-extended (1: 0 or 1)
//   e y f d      fp16, bf16, fp32, fp64 bits
//   ( ... )      a tuple and its members
//   D<rank>      a host TensorDescriptor: base, 1 for NaN padding, shape, strides
// A leading ! says that the kernel makes pointers from integers, so that its accesses are not confined to its tensors.
#pragma once

#include <cstdint>
#include <string_view>
#include <vector>

namespace mtia::bindings {

struct ArgumentCode {
  char kind;                          // a letter of the list above; '(' carries its members
  uint8_t rank = 0;                   // of a descriptor
  std::vector<ArgumentCode> members;  // of a tuple
};

struct ArgumentCodes {
  bool confined = true;
  std::vector<ArgumentCode> codes;
};

// Throws InvalidArgument for a text that is not of the form above.
ArgumentCodes parse_argument_codes(std::string_view text);

}  // namespace mtia::bindings
