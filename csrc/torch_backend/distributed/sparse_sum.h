// Sums of sparse tensors over the ranks of a group. Includes all of ATen, as torch's header of backends does: for
// process_group.cpp and mirrored_group.cpp alone.
#pragma once

#include <torch/csrc/distributed/c10d/Backend.hpp>

#include <vector>

namespace mtia::torch_backend {

// What all_reduce makes of one sparse tensor (COO) of a device: `tensors` gets the sum, coalesced. As Gloo does it: all
// ranks tell all others how many elements they have (by `host`, for which the host waits), and gather these. The
// current stream has the sum. Throws ValueError's where ranks do not agree on the shape, or the operation is no sum.
void sum_sparse(c10d::Backend& group, c10d::Backend& host, std::vector<at::Tensor>& tensors,
                const c10d::ReduceOp& operation);

}  // namespace mtia::torch_backend
