// Blocks a matrix product for the caches and calls the micro-kernels.
#include "host_math/dot.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>

#include "base/error.h"
#include "host_math/dot_kernels.h"
#include "host_math/elementwise.h"

namespace mtia::host_math {

namespace {

// Values of k a pass covers: a panel of b then stays in the first-level cache while all rows of a go by. Even, so that
// pairs are never cut.
constexpr size_t k_block = 256;
// Bytes of packed b a pass covers.
constexpr size_t n_block_bytes = 384 * 1024;

// Panels of a that are packed at once.
constexpr size_t panels_of_a_block = 16;

constexpr size_t cache_line = 64;

size_t round_up(size_t value, size_t unit) { return (value + unit - 1) / unit * unit; }

// Scratch memory of this thread that only grows. Different uses take different slots.
class Scratch {
 public:
  std::byte* get(size_t bytes) {
    if (bytes > capacity_) {
      memory_.reset();
      capacity_ = round_up(bytes + bytes / 2, cache_line);
      memory_.reset(static_cast<std::byte*>(::operator new(capacity_, std::align_val_t(cache_line))));
    }
    return memory_.get();
  }

 private:
  struct Free {
    void operator()(std::byte* memory) const { ::operator delete(memory, std::align_val_t(cache_line)); }
  };
  std::unique_ptr<std::byte, Free> memory_;
  size_t capacity_ = 0;
};

thread_local Scratch panels_of_a;
thread_local Scratch panels_of_b;
thread_local Scratch converted_a;
thread_local Scratch converted_b;

// How a dtype is computed: the micro-kernels, and the dtype its operands are converted to first (or itself).
struct Plan {
  const DotKernels* kernels;
  DType operand;
  bool swap_pairs;  // BF16 in float32: k runs 1 0 3 2 ..., the order of the BF16 instruction
};

const DotKernels& kernels_for(DType operand, [[maybe_unused]] HostIsa isa) {
#if defined(__x86_64__)
  if (operand == DType::BF16) return avx512_bf16::dot_bf16;
  if (isa == HostIsa::avx2)
    return operand == DType::F64 ? avx2::dot_f64 : operand == DType::I32 ? avx2::dot_i32 : avx2::dot_f32;
  if (isa >= HostIsa::avx512)
    return operand == DType::F64 ? avx512::dot_f64 : operand == DType::I32 ? avx512::dot_i32 : avx512::dot_f32;
#endif
  return operand == DType::F64 ? plain::dot_f64 : operand == DType::I32 ? plain::dot_i32 : plain::dot_f32;
}

Plan plan_for(DType dtype, HostIsa isa) {
  switch (dtype) {
    case DType::F32:
    case DType::F64:
      return {&kernels_for(dtype, isa), dtype, false};
    case DType::BF16:
      if (isa == HostIsa::avx512_bf16) return {&kernels_for(DType::BF16, isa), DType::BF16, false};
      return {&kernels_for(DType::F32, isa), DType::F32, true};
    case DType::F16:
    case DType::F8E4M3:
    case DType::F8E5M2:
      return {&kernels_for(DType::F32, isa), DType::F32, false};
    case DType::I8:
      return {&kernels_for(DType::I32, isa), DType::I32, false};
    default:
      throw Unsupported(
          concat("a matrix product of ", name_of(dtype)), "dot",
          "the dot product engine multiplies f32, f16, bf16, f8e4m3, f8e5m2, f64 and i8: convert the operands");
  }
}

// An operand with the strides of its rows (or columns) and of k in bytes.
struct Operand {
  const std::byte* data;
  ptrdiff_t i_stride;
  ptrdiff_t k_stride;
};

// The part [0, count) x [0, k) of an operand as `plan.operand`: itself, or a converted copy in `scratch`, adjacent
// along k or i as the original is.
Operand converted(const Plan& plan, DType dtype, const Operand& source, size_t count, size_t k, Scratch& scratch,
                  HostIsa isa) {
  if (plan.operand == dtype) return source;
  const auto size = static_cast<ptrdiff_t>(size_of(dtype));
  const auto wide = static_cast<ptrdiff_t>(size_of(plan.operand));
  const UnaryLoop convert = convert_loop(dtype, plan.operand, {}, isa);
  const bool along_k = source.k_stride == size || source.i_stride != size;
  const size_t outer = along_k ? count : k;
  const size_t inner = along_k ? k : count;
  const ptrdiff_t outer_stride = along_k ? source.i_stride : source.k_stride;
  const ptrdiff_t inner_stride = along_k ? source.k_stride : source.i_stride;
  std::byte* copy = scratch.get(count * k * static_cast<size_t>(wide));
  for (size_t o = 0; o < outer; ++o) {
    const std::byte* from = source.data + static_cast<ptrdiff_t>(o) * outer_stride;
    std::byte* to = copy + static_cast<ptrdiff_t>(o * inner) * wide;
    if (inner_stride == size) {
      convert(to, from, inner);
    } else {
      for (size_t i = 0; i < inner; ++i)
        convert(to + static_cast<ptrdiff_t>(i) * wide, from + static_cast<ptrdiff_t>(i) * inner_stride, 1);
    }
  }
  const auto row = static_cast<ptrdiff_t>(inner) * wide;
  return along_k ? Operand{copy, row, wide} : Operand{copy, wide, row};
}

// Exchanges the steps 2 q and 2 q + 1 of a packed float32 panel; an odd last step stays.
void swap_steps(void* panel, size_t wide, size_t k) {
  auto* rows = static_cast<float*>(panel);
  for (size_t p = 0; p + 1 < k; p += 2) std::swap_ranges(rows + p * wide, rows + (p + 1) * wide, rows + (p + 1) * wide);
}

void pack_panel(const Plan& plan, bool is_a, std::byte* panel, const Operand& source, size_t count, size_t k) {
  const DotKernels& kernels = *plan.kernels;
  if (is_a) {
    kernels.pack_a(panel, source.data, source.i_stride, source.k_stride, count, k);
  } else {
    kernels.pack_b(panel, source.data, source.k_stride, source.i_stride, count, k);
  }
  if (plan.swap_pairs) swap_steps(panel, is_a ? kernels.mr : kernels.nr, k);
}

Operand operand_of_a(const ConstMatrix& a, size_t size) {
  return {static_cast<const std::byte*>(a.data), a.row_stride * static_cast<ptrdiff_t>(size),
          a.column_stride * static_cast<ptrdiff_t>(size)};
}

Operand operand_of_b(const ConstMatrix& b, size_t size) {
  return {static_cast<const std::byte*>(b.data), b.column_stride * static_cast<ptrdiff_t>(size),
          b.row_stride * static_cast<ptrdiff_t>(size)};
}

Operand advance(const Operand& operand, size_t i, size_t k) {
  return {operand.data + static_cast<ptrdiff_t>(i) * operand.i_stride + static_cast<ptrdiff_t>(k) * operand.k_stride,
          operand.i_stride, operand.k_stride};
}

size_t panel_bytes(const DotKernels& kernels, size_t wide, size_t k) {
  return round_up(k, kernels.k_step) / kernels.k_step * wide * kernels.element_bytes;
}

// Asks the host's caches for rows that are needed soon: a tile of a larger matrix has short rows far apart, which the
// host's own prefetchers miss.
void prefetch_block(const std::byte* data, ptrdiff_t row_stride, size_t rows, size_t row_bytes) {
  for (size_t row = 0; row < rows; ++row) {
    const std::byte* line = data + static_cast<ptrdiff_t>(row) * row_stride;
    for (size_t at = 0; at < row_bytes; at += cache_line) __builtin_prefetch(line + at);
  }
}

void prefetch_operand(const Operand& source, size_t count, size_t k, size_t size) {
  if (source.k_stride == static_cast<ptrdiff_t>(size)) {
    prefetch_block(source.data, source.i_stride, count, k * size);
  } else {
    prefetch_block(source.data, source.k_stride, k, count * size);
  }
}

// Packs all panels of b's [0, k) x [0, n), one after the other.
void pack_panels_of_b(const Plan& plan, std::byte* panels, const Operand& b, size_t k, size_t n) {
  const size_t nr = plan.kernels->nr;
  const size_t bytes = panel_bytes(*plan.kernels, nr, k);
  const size_t size = size_of(plan.operand);
  prefetch_operand(b, std::min(nr, n), k, size);
  for (size_t column = 0; column < n; column += nr) {
    if (column + nr < n) prefetch_operand(advance(b, column + nr, 0), std::min(nr, n - column - nr), k, size);
    pack_panel(plan, false, panels + column / nr * bytes, advance(b, column, 0), std::min(nr, n - column), k);
  }
}

// Packs the panels of the rows [first, last) of a's m rows, one after the other.
void pack_panels_of_a(const Plan& plan, DType dtype, std::byte* panels, const Operand& a, size_t first, size_t last,
                      size_t m, size_t k, HostIsa isa) {
  const size_t mr = plan.kernels->mr;
  const size_t bytes = panel_bytes(*plan.kernels, mr, k);
  for (size_t row = first; row < last; row += mr) {
    const size_t rows = std::min(mr, last - row);
    if (row + mr < m) prefetch_operand(advance(a, row + mr, 0), std::min(mr, m - row - mr), k, size_of(dtype));
    pack_panel(plan, true, panels + (row - first) / mr * bytes,
               converted(plan, dtype, advance(a, row, 0), rows, k, converted_a, isa), rows, k);
  }
}

// c (+)= a * b for packed b of one k block. `packed_a`: all panels of a, or nullptr.
void multiply_block(const Plan& plan, DType dtype, std::byte* c, ptrdiff_t c_row_stride, const Operand& a,
                    const std::byte* packed_a, const std::byte* panels, size_t m, size_t n, size_t k, bool accumulate,
                    HostIsa isa) {
  const DotKernels& kernels = *plan.kernels;
  const auto c_size = static_cast<ptrdiff_t>(size_of(accumulator_of(dtype)));
  const size_t steps = round_up(k, kernels.k_step) / kernels.k_step;
  const size_t b_bytes = panel_bytes(kernels, kernels.nr, k);
  const size_t a_bytes = panel_bytes(kernels, kernels.mr, k);
  for (size_t first = 0; first < m; first += kernels.mr * panels_of_a_block) {
    const size_t last = std::min(m, first + kernels.mr * panels_of_a_block);
    const std::byte* packed = packed_a + first / kernels.mr * a_bytes;
    if (packed_a == nullptr) {
      std::byte* fresh = panels_of_a.get(round_up(last - first, kernels.mr) / kernels.mr * a_bytes);
      pack_panels_of_a(plan, dtype, fresh, a, first, last, m, k, isa);
      packed = fresh;
    }
    // A panel of b stays in the first-level cache while the rows of a go by.
    for (size_t column = 0; column < n; column += kernels.nr) {
      const size_t columns = std::min(kernels.nr, n - column);
      for (size_t row = first; row < last; row += kernels.mr) {
        std::byte* target = c + (static_cast<ptrdiff_t>(row) * c_row_stride + static_cast<ptrdiff_t>(column)) * c_size;
        if (accumulate && row + kernels.mr < last) {
          prefetch_block(target + static_cast<ptrdiff_t>(kernels.mr) * c_row_stride * c_size, c_row_stride * c_size,
                         std::min(kernels.mr, last - row - kernels.mr), columns * static_cast<size_t>(c_size));
        }
        kernels.multiply(target, c_row_stride, packed + (row - first) / kernels.mr * a_bytes,
                         panels + column / kernels.nr * b_bytes, std::min(kernels.mr, last - row), columns, steps,
                         accumulate);
      }
    }
  }
}

void clear(const Matrix& c, size_t size, size_t m, size_t n) {
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) {
      const ptrdiff_t at = static_cast<ptrdiff_t>(i) * c.row_stride + static_cast<ptrdiff_t>(j) * c.column_stride;
      std::fill_n(static_cast<std::byte*>(c.data) + at * static_cast<ptrdiff_t>(size), size, std::byte{0});
    }
  }
}

// c with columns that are not adjacent: computed in a dense copy.
void dot_through_copy(DType dtype, const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, size_t m, size_t n,
                      size_t k, bool accumulate, HostIsa isa) {
  const size_t size = size_of(accumulator_of(dtype));
  const std::unique_ptr<std::byte[]> copy(new std::byte[m * n * size]);
  const auto element = [&](size_t i, size_t j) {
    const ptrdiff_t at = static_cast<ptrdiff_t>(i) * c.row_stride + static_cast<ptrdiff_t>(j) * c.column_stride;
    return static_cast<std::byte*>(c.data) + at * static_cast<ptrdiff_t>(size);
  };
  for (size_t i = 0; accumulate && i < m; ++i) {
    for (size_t j = 0; j < n; ++j) std::copy_n(element(i, j), size, copy.get() + (i * n + j) * size);
  }
  dot(dtype, {copy.get(), static_cast<ptrdiff_t>(n), 1}, a, b, m, n, k, accumulate, isa);
  for (size_t i = 0; i < m; ++i) {
    for (size_t j = 0; j < n; ++j) std::copy_n(copy.get() + (i * n + j) * size, size, element(i, j));
  }
}

}  // namespace

DType accumulator_of(DType dtype) {
  const DType operand = plan_for(dtype, HostIsa::plain).operand;
  return operand == DType::F64 || operand == DType::I32 ? operand : DType::F32;
}

void dot(DType dtype, const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, size_t m, size_t n, size_t k,
         bool accumulate, HostIsa isa) {
  if (m == 0 || n == 0) return;
  const Plan plan = plan_for(dtype, isa);
  const size_t c_size = size_of(accumulator_of(dtype));
  if (k == 0) {
    if (!accumulate) clear(c, c_size, m, n);
    return;
  }
  if (c.column_stride != 1 && n > 1) {
    if (c.row_stride == 1 || m == 1) {  // the transposed product has adjacent columns
      return dot(dtype, {c.data, c.column_stride, 1}, {b.data, b.column_stride, b.row_stride},
                 {a.data, a.column_stride, a.row_stride}, n, m, k, accumulate, isa);
    }
    return dot_through_copy(dtype, c, a, b, m, n, k, accumulate, isa);
  }
  const size_t size = size_of(dtype);
  const Operand left = operand_of_a(a, size);
  const Operand right = operand_of_b(b, size);
  for (size_t p = 0; p < k; p += k_block) {
    const size_t depth = std::min(k_block, k - p);
    const size_t panel = panel_bytes(*plan.kernels, plan.kernels->nr, depth);
    const size_t n_block = std::max<size_t>(1, n_block_bytes / panel) * plan.kernels->nr;
    for (size_t column = 0; column < n; column += n_block) {
      const size_t width = std::min(n_block, n - column);
      std::byte* panels = panels_of_b.get(round_up(width, plan.kernels->nr) / plan.kernels->nr * panel);
      pack_panels_of_b(plan, panels, converted(plan, dtype, advance(right, column, p), width, depth, converted_b, isa),
                       depth, width);
      std::byte* target = static_cast<std::byte*>(c.data) + column * c_size;
      multiply_block(plan, dtype, target, c.row_stride, advance(left, 0, p), nullptr, panels, m, width, depth,
                     accumulate || p > 0, isa);
    }
  }
}

size_t packed_b_bytes(DType dtype, size_t k, size_t n, HostIsa isa) {
  const DotKernels& kernels = *plan_for(dtype, isa).kernels;
  return panel_bytes(kernels, round_up(n, kernels.nr), k);
}

size_t packed_a_bytes(DType dtype, size_t m, size_t k, HostIsa isa) {
  const DotKernels& kernels = *plan_for(dtype, isa).kernels;
  return panel_bytes(kernels, round_up(m, kernels.mr), k);
}

void pack_a(DType dtype, void* packed, const ConstMatrix& a, size_t m, size_t k, HostIsa isa) {
  pack_panels_of_a(plan_for(dtype, isa), dtype, static_cast<std::byte*>(packed), operand_of_a(a, size_of(dtype)), 0, m,
                   m, k, isa);
}

void pack_b(DType dtype, void* packed, const ConstMatrix& b, size_t k, size_t n, HostIsa isa) {
  const Plan plan = plan_for(dtype, isa);
  pack_panels_of_b(plan, static_cast<std::byte*>(packed),
                   converted(plan, dtype, operand_of_b(b, size_of(dtype)), n, k, converted_b, isa), k, n);
}

void dot_packed(DType dtype, const Matrix& c, const ConstMatrix& a, const void* packed_a, const void* packed_b,
                size_t m, size_t n, size_t k, bool accumulate, HostIsa isa) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!accumulate) clear(c, size_of(accumulator_of(dtype)), m, n);
    return;
  }
  multiply_block(plan_for(dtype, isa), dtype, static_cast<std::byte*>(c.data), c.row_stride,
                 operand_of_a(a, size_of(dtype)), static_cast<const std::byte*>(packed_a),
                 static_cast<const std::byte*>(packed_b), m, n, k, accumulate, isa);
}

}  // namespace mtia::host_math
