// Batches of matrices as the kernels of dense linear algebra take them, and what the families of operators on them
// share. torch's own code of these operators (checks, shapes, layouts, errors) runs above the device's stubs.
#pragma once

#include <ATen/core/Tensor.h>

#include "kernels/cpp/linear_algebra/matrices.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {

kernels::Number number_of(const char* operation, c10::ScalarType dtype);

// A tensor whose last two dimensions are matrices of dense columns (or rows: then their transposes) as one of three
// dimensions over the same memory, as it lies there: conjugate and negative bits are left out.
at::Tensor as_columns(const at::Tensor& matrices);

enum class Use : uint8_t { read, write };
// Of as_columns, or a part of its rows and columns. Where one storage is read and written, ask for what is written
// first.
kernels::Matrices matrices_of(const at::Tensor& columns, Use use = Use::write);
// The last dimension of a contiguous tensor, or part of it.
kernels::Vectors vectors_of(const at::Tensor& vectors, Use use = Use::write);

// Where a matrix is cut into blocks decides the bits of its factors, so it is cut alike on every chip: for what mtia1
// has.
inline constexpr int64_t room_for_blocks = 127 << 10;  // bytes of local memory

// Raises where `numbers` do not fit local memory: `what` says of which matrix.
void check_fits(const char* operation, int64_t numbers, c10::ScalarType dtype, const char* what, const char* remedy);

// Whether a batch leaves most PEs of a chip like mtia1 without a matrix, so that one of this many steps is better
// shared among them, block by block.
bool pays_to_share(int64_t batch, int64_t steps);

// b = x of op(a) x = b, or of x op(a) = b: tensors of as_columns, of any size.
void solve_triangular(const at::Tensor& a, const at::Tensor& b, bool left, bool upper, kernels::Transpose transpose,
                      bool has_unit_diagonal);

// Of each matrix, a tensor of as_columns, the place of the first zero on its diagonal, counted from 1; 0: there is
// none.
at::Tensor zeros_on_diagonals(const at::Tensor& matrices);

// torch's structured operator on the outputs that the caller gave: meta function, then its device-independent body.
template <typename Structured, typename... Outputs, typename... Arguments>
void run_structured(const std::tuple<Outputs&...>& outputs, const Arguments&... arguments) {
  std::apply(
      [&](const auto&... outs) {
        WithOutputs<Structured> call(outs...);
        call.meta(arguments...);
        [&]<size_t... i>(std::index_sequence<i...>) {
          call.impl(arguments..., call.output(i)...);
        }(std::index_sequence_for<Outputs...>());
        call.finish();
      },
      outputs);
}

}  // namespace mtia::torch_backend
