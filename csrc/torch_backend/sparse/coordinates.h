// Places of the elements of sparse tensors (COO) as numbers, and what is found by them.
#pragma once

#include <ATen/core/Tensor.h>

namespace mtia::torch_backend {

c10::IntArrayRef sparse_sizes(const at::Tensor& sparse);

// A sparse tensor of the sizes of `like`.
at::Tensor sparse_of(const at::Tensor& like, const at::Tensor& indices, const at::Tensor& values, bool coalesced);

// Makes `out`, which may be empty, the tensor of these elements with the structure of `like`.
void put_into(at::Tensor& out, const at::Tensor& like, const at::Tensor& indices, const at::Tensor& values,
              bool coalesced);

// Each element's number in the sparse dimensions, the last of which counts fastest; ascending where the tensor is
// coalesced. `without`: a dimension that does not count.
at::Tensor flat_places(const at::Tensor& sparse, int64_t without = -1);

// The reverse of flat_places.
at::Tensor indices_at(const at::Tensor& places, c10::IntArrayRef sizes);

// Which element of a sorted list each of `wanted` equals, as far as it is there.
struct Matches {
  at::Tensor places;  // int64, 0 where not found
  at::Tensor found;   // bool
};
Matches matches_of(const at::Tensor& wanted, const at::Tensor& sorted);

// The values of a coalesced tensor at such places, 0 where it has none: [places, dense dimensions].
at::Tensor values_at(const at::Tensor& coalesced, const at::Tensor& places);

// Run i is `counts[i]` numbers from `begins[i]` on: all of them behind each other, and whose they are. Waits for the
// device.
struct Runs {
  at::Tensor owners, members;
};
Runs runs_of(const at::Tensor& begins, const at::Tensor& counts);

// A vector of the values' rows as it multiplies or masks them.
at::Tensor beside_values(const at::Tensor& row, const at::Tensor& values);

// Elements that both coalesced tensors have.
at::Tensor product_of_common(const at::Tensor& self, const at::Tensor& other);

}  // namespace mtia::torch_backend
