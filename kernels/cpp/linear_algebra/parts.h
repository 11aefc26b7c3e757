// How the PEs of a launch share a batch of matrices: each takes some of them, or parts of their columns or rows.
#pragma once

#include "kernels/cpp/linear_algebra/columns.h"

namespace mtia::kernels {

// Calls body(matrix) for each matrix that is this PE's; what it allocates is free again for the next.
template <typename Body>
void for_each_matrix(emulator::ProcessingElement& pe, int64_t batch, const Body& body) {
  for (int64_t matrix = pe.index(); matrix < batch; matrix += pe.count()) {
    const emulator::LocalScope scope(pe);
    body(matrix);
  }
}

// Calls body(T{}, matrix), T the type of the matrices' numbers.
template <typename Arguments, typename Body>
void for_each_matrix_of_numbers(emulator::ProcessingElement& pe, const Arguments& arguments, const Body& body) {
  with_number(arguments.number, [&](auto number) {
    for_each_matrix(pe, arguments.batch, [&](int64_t matrix) { body(number, matrix); });
  });
}

// Calls body(matrix, first, count) for each part that is this PE's of the `lines` columns or rows of each matrix, of
// which `fitting` have room at a time. All PEs get some where there are enough.
template <typename Body>
void for_each_part(emulator::ProcessingElement& pe, int64_t batch, int64_t lines, int64_t fitting, const Body& body) {
  const int64_t pes_a_matrix = std::max<int64_t>(1, pe.count() / std::max<int64_t>(batch, 1));
  const int64_t lines_a_part = std::max<int64_t>(1, std::min(fitting, (lines + pes_a_matrix - 1) / pes_a_matrix));
  const int64_t parts = (lines + lines_a_part - 1) / lines_a_part;
  for_each_matrix(pe, batch * parts, [&](int64_t part) {
    const int64_t first = part % parts * lines_a_part;
    body(part / parts, first, std::min(lines_a_part, lines - first));
  });
}

}  // namespace mtia::kernels
