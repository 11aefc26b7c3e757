// Elements of all ranks are gathered, and added where their indices meet.
#include "torch_backend/distributed/sparse_sum.h"

#include <ATen/ops/cat.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/empty_like.h>
#include <ATen/ops/sparse_coo_tensor.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>
#include <torch/csrc/distributed/c10d/ProcessGroup.hpp>

#include <algorithm>
#include <utility>

#include "torch_backend/device.h"

namespace mtia::torch_backend {
namespace {

using Tensors = std::vector<at::Tensor>;

constexpr int64_t most_dimensions = 16;
// How many elements, sparse dimensions, all dimensions, dtype, sizes.
constexpr int64_t shape_numbers = 4 + most_dimensions;

at::Tensor shape_of(const at::Tensor& tensor) {
  TORCH_CHECK_VALUE(tensor.dim() <= most_dimensions, "allreduce: a sparse tensor of ", tensor.dim(),
                    " dimensions; at most ", most_dimensions, " are summed");
  at::Tensor shape = at::zeros({shape_numbers}, at::kLong);
  int64_t* numbers = shape.mutable_data_ptr<int64_t>();
  numbers[0] = tensor._nnz();
  numbers[1] = tensor.sparse_dim();
  numbers[2] = tensor.dim();
  numbers[3] = static_cast<int64_t>(tensor.scalar_type());
  std::copy(tensor.sizes().begin(), tensor.sizes().end(), numbers + 4);
  return shape;
}

std::vector<int64_t> counts_of_ranks(c10d::Backend& host, const at::Tensor& tensor) {
  Tensors shapes{shape_of(tensor)};
  std::vector<Tensors> all(1);
  for (int rank = 0; rank < host.getSize(); ++rank) all[0].push_back(at::empty_like(shapes[0]));
  host.allgather(all, shapes)->wait();
  std::vector<int64_t> counts;
  for (const at::Tensor& each : all[0]) {
    const int64_t* numbers = each.const_data_ptr<int64_t>();
    const int64_t* own = shapes[0].const_data_ptr<int64_t>();
    TORCH_CHECK_VALUE(std::equal(numbers + 1, numbers + shape_numbers, own + 1), "allreduce: rank ", counts.size(),
                      " has a sparse tensor of sizes ", c10::IntArrayRef(numbers + 4, static_cast<size_t>(numbers[2])),
                      " (", numbers[1], " of them sparse, ", c10::toString(static_cast<c10::ScalarType>(numbers[3])),
                      "), this rank of ", tensor.sizes(), " (", own[1], ", ", tensor.scalar_type(), ")");
    counts.push_back(numbers[0]);
  }
  return counts;
}

// Of `part` [elements, ...] on each rank, all one behind the other.
at::Tensor gather_rows(c10d::Backend& group, const at::Tensor& part, const std::vector<int64_t>& counts) {
  Tensors inputs{part.contiguous()};
  std::vector<Tensors> outputs(1);
  std::vector<int64_t> sizes = part.sizes().vec();
  for (const int64_t count : counts) {
    sizes[0] = count;
    outputs[0].push_back(at::empty(sizes, part.options()));
  }
  group.allgather(outputs, inputs)->wait();
  return at::cat(outputs[0]);
}

std::tuple<Tensors, c10::intrusive_ptr<c10d::Work>> all_reduce_sparse(
    at::TensorList tensors, const c10::intrusive_ptr<c10d::ProcessGroup>& group,
    const c10::intrusive_ptr<c10d::ReduceOp>& operation, const std::optional<at::Tensor>&, bool is_asynchronous,
    int64_t timeout) {
  Tensors all = tensors.vec();
  auto work = group->getBackend(device_type)
                  ->allreduce(all, c10d::AllreduceOptions{*operation, std::chrono::milliseconds(timeout),
                                                          is_asynchronous, std::nullopt});
  return {std::move(all), std::move(work)};
}

TORCH_LIBRARY_IMPL(c10d, SparsePrivateUse1, library) { library.impl("allreduce_", all_reduce_sparse); }

}  // namespace

void sum_sparse(c10d::Backend& group, c10d::Backend& host, Tensors& tensors, const c10d::ReduceOp& operation) {
  TORCH_CHECK_VALUE(tensors.size() == 1, "allreduce: ", tensors.size(), " sparse tensors; a process has one a call");
  TORCH_CHECK_VALUE(operation == c10d::ReduceOp::SUM,
                    "allreduce of sparse tensors only works with ReduceOp.SUM; use to_dense() for others");
  const at::Tensor own = tensors[0].coalesce();
  const std::vector<int64_t> counts = counts_of_ranks(host, own);
  at::Tensor sum;
  if (*std::max_element(counts.begin(), counts.end()) == 0) {
    sum = own;
  } else {
    const at::Tensor indices = gather_rows(group, own.indices().t(), counts);
    const at::Tensor values = gather_rows(group, own.values(), counts);
    sum = at::sparse_coo_tensor(indices.t(), values, own.sizes()).coalesce();
  }
  tensors[0].copy_(sum);
}

}  // namespace mtia::torch_backend
