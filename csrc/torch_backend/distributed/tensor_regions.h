// What torch.distributed gives, tensors and reductions, as bytes of device memory and what the message engines combine.
// Includes all of ATen, as torch's header of backends does.
#pragma once

#include <ATen/core/Tensor.h>
#include <torch/csrc/distributed/c10d/Types.hpp>

#include <string>
#include <vector>

#include "network/reduction.h"
#include "torch_backend/distributed/collective.h"

namespace mtia::torch_backend {

using Tensors = std::vector<at::Tensor>;

Region region_of(const at::Tensor& tensor);
// How a tensor's elements lie in memory, for people to read: "" where it is contiguous. Bytes are moved as they lie, so
// whoever sends and whoever receives them have to have the same.
std::string memory_order(const at::Tensor& tensor);
Regions regions_of(const Tensors& tensors);
// The part of a rank, of what holds a part of each.
Region part_of(const at::Tensor& tensor, int rank, int size);

// Throws TypeError's where the message engines do not combine that dtype so.
network::Reduction reduction_of(const c10d::ReduceOp& operation, c10::ScalarType dtype);
const char* name_of(const c10d::ReduceOp& operation);

}  // namespace mtia::torch_backend
