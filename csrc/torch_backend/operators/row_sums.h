// Launches of the C++ kernel row_sums: the gradient of a table's rows that were taken by index.
#pragma once

#include <ATen/core/Tensor.h>

#include <cstdint>

namespace mtia::torch_backend {

struct RowSums {
  int64_t rows = 0;          // of the table
  int64_t skipped = -1;      // the index that counts for nothing
  at::Tensor source_rows{};  // where defined, index i adds row source_rows[i] of the source instead of row i
  at::Tensor factors{};      // where defined, times factors[i]
};

// A table [rows, source's columns] each of whose rows is the sum of what the indices send to it, in their order.
at::Tensor row_sums(const at::Tensor& source, const at::Tensor& indices, const RowSums& sums);

// Of each index, 1 / how often it occurs, in float32: the factors of gradients that are scaled by frequency.
at::Tensor frequency_shares(const at::Tensor& indices, int64_t rows);

}  // namespace mtia::torch_backend
