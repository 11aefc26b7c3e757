// Matrices of blocks (BSR, BSC) from coordinates and compressed ones; matrices of diagonals.
#include <ATen/core/Tensor.h>
#include <ATen/ops/_convert_indices_from_coo_to_csr.h>
#include <ATen/ops/_sparse_compressed_tensor_unsafe.h>
#include <ATen/ops/_sparse_coo_tensor_unsafe.h>
#include <ATen/ops/_unique2.h>
#include <ATen/ops/arange.h>
#include <ATen/ops/stack.h>
#include <ATen/ops/zeros.h>
#include <torch/library.h>

#include <optional>

#include "torch_backend/same_device.h"

namespace mtia::torch_backend {
namespace {

// Blocks in the order of rows (BSR) or of columns (BSC), as many as hold an element.
at::Tensor to_blocks(c10::Layout layout, const at::Tensor& self, c10::IntArrayRef block,
                     std::optional<int64_t> dense_dim) {
  TORCH_CHECK(self.dim() == 2 && dense_dim.value_or(0) == 0,
              "to_sparse_bsr and to_sparse_bsc: mtia_sim converts matrices of numbers, got ", self.dim(),
              " dimensions; convert matrix by matrix");
  TORCH_CHECK(
      block.size() == 2 && block[0] > 0 && block[1] > 0 && self.size(0) % block[0] == 0 && self.size(1) % block[1] == 0,
      "tensor sparse size (", self.size(0), ", ", self.size(1), ") must be divisible by given blocksize, got ", block);
  const at::Tensor elements = self.layout() == c10::kSparse ? self.coalesce() : self.to_sparse();
  const at::Tensor rows = elements._indices()[0], columns = elements._indices()[1];
  const bool by_rows = layout == c10::kSparseBsr;
  const at::Tensor of_rows = rows.floor_divide(block[0]), of_columns = columns.floor_divide(block[1]);
  const int64_t lines = by_rows ? self.size(0) / block[0] : self.size(1) / block[1];
  const int64_t in_line = by_rows ? self.size(1) / block[1] : self.size(0) / block[0];
  const at::Tensor number = by_rows ? of_columns.add(of_rows, in_line) : of_rows.add(of_columns, in_line);
  const auto [numbers, owner, counts] = at::_unique2(number, /*sorted=*/true, /*return_inverse=*/true);
  const at::Tensor place =
      owner.mul(block[0] * block[1]).add(rows.remainder(block[0]), block[1]).add(columns.remainder(block[1]));
  const at::Tensor given = elements._values();
  const at::Tensor values = at::zeros({numbers.size(0) * block[0] * block[1]}, given.options())
                                .index_copy_(0, place, given)
                                .view({numbers.size(0), block[0], block[1]});
  const at::Tensor begins = at::_convert_indices_from_coo_to_csr(numbers.floor_divide(in_line), lines);
  return at::_sparse_compressed_tensor_unsafe(begins, numbers.remainder(in_line), values, self.sizes(),
                                              values.options().layout(layout));
}

at::Tensor to_bsr(const at::Tensor& self, c10::IntArrayRef block, std::optional<int64_t> dense_dim) {
  return to_blocks(c10::kSparseBsr, self, block, dense_dim);
}
at::Tensor to_bsc(const at::Tensor& self, c10::IntArrayRef block, std::optional<int64_t> dense_dim) {
  return to_blocks(c10::kSparseBsc, self, block, dense_dim);
}

// Row d of `given` lies along the diagonal that begins `offsets[d]` columns to the right, element j in column j.
at::Tensor spdiags(const at::Tensor& given, const at::Tensor& given_offsets, c10::IntArrayRef shape,
                   std::optional<c10::Layout> layout) {
  const at::Tensor diagonals = given.dim() == 1 ? given.unsqueeze(0) : given;
  TORCH_CHECK(diagonals.dim() == 2, "Diagonals must be vector or matrix");
  TORCH_CHECK(shape.size() == 2, "Output shape must be 2d");
  const at::Tensor offsets = given_offsets.dim() == 0 ? given_offsets.unsqueeze(0) : given_offsets;
  TORCH_CHECK(offsets.dim() == 1, "Offsets must be scalar or vector");
  TORCH_CHECK(offsets.scalar_type() == c10::kLong, "Offset Tensor must have dtype Long but got ",
              offsets.scalar_type());
  TORCH_CHECK(diagonals.size(0) == offsets.size(0), "Number of diagonals (", diagonals.size(0),
              ") does not match the number of offsets (", offsets.size(0), ")");
  if (layout.has_value()) {
    TORCH_CHECK(*layout == c10::kSparse || *layout == c10::kSparseCsr || *layout == c10::kSparseCsc,
                "Only output layouts (Sparse, SparseCsc, SparseCsr) are supported, got ", *layout);
  }
  check_same_device("spdiags", diagonals.device(), offsets);
  TORCH_CHECK(std::get<0>(at::_unique2(offsets)).size(0) == offsets.size(0), "Offset tensor contains duplicate values");
  const at::Tensor columns = at::arange(diagonals.size(1), offsets.options()).expand(diagonals.sizes());
  const at::Tensor rows = columns.sub(offsets.unsqueeze(1));
  const at::Tensor inside = rows.ge(0).logical_and(rows.lt(shape[0])).logical_and(columns.lt(shape[1]));
  const at::Tensor places = at::stack({rows.masked_select(inside), columns.masked_select(inside)});
  const at::Tensor values = diagonals.masked_select(inside);
  const at::Tensor result = at::_sparse_coo_tensor_unsafe(places, values, shape, values.options().layout(c10::kSparse));
  if (!layout.has_value() || *layout == c10::kSparse) return result;
  return *layout == c10::kSparseCsr ? result.to_sparse_csr() : result.to_sparse_csc();
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, SparsePrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_to_sparse_bsr", to_bsr);
  library.impl("_to_sparse_bsc", to_bsc);
}

TORCH_LIBRARY_IMPL(aten, SparseCsrPrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("_to_sparse_bsr", to_bsr);
  library.impl("_to_sparse_bsc", to_bsc);
}

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) { library.impl("_spdiags", mtia::torch_backend::spdiags); }
