// Looks loops up in the tables of the chosen instruction set.
#include "host_math/elementwise.h"

#include <cstring>

#include "base/error.h"
#include "host_math/loop_tables.h"

namespace mtia::host_math {

namespace {

template <typename Table>
const Table& table_of(HostIsa isa, const Table& plain_table, [[maybe_unused]] const Table& avx2_table,
                      [[maybe_unused]] const Table& avx512_table) {
  switch (loops_of(isa)) {
    case LoopSet::plain:
      return plain_table;
    case LoopSet::avx2:
      return avx2_table;
    case LoopSet::avx512:
      return avx512_table;
  }
  return plain_table;
}

#if defined(__x86_64__)
#define MTIA_TABLE(isa, name) table_of(isa, plain::name, avx2::name, avx512::name)
#else
#define MTIA_TABLE(isa, name) table_of(isa, plain::name, plain::name, plain::name)
#endif

template <typename Enum>
constexpr size_t row(Enum value) {
  return static_cast<size_t>(value);
}

template <typename T>
void fill_elements(void* dst, const void* value, size_t n) {
  T element;
  std::memcpy(&element, value, sizeof(T));
  T* d = static_cast<T*>(dst);
  for (size_t i = 0; i < n; ++i) d[i] = element;
}

template <typename T>
void iota_elements(void* dst, int64_t start, size_t n) {
  T* d = static_cast<T*>(dst);
  for (size_t i = 0; i < n; ++i) d[i] = static_cast<T>(static_cast<uint64_t>(start) + i);
}

[[noreturn]] void refuse_element_size(size_t element_size) {
  throw InternalError(concat("an element of ", element_size, " bytes"), "host_math", "element sizes are 1, 2, 4 and 8");
}

// Calls function with a value of the unsigned type of that size.
template <typename Function>
void with_element(size_t element_size, Function&& function) {
  switch (element_size) {
    case 1:
      return function(uint8_t{});
    case 2:
      return function(uint16_t{});
    case 4:
      return function(uint32_t{});
    case 8:
      return function(uint64_t{});
    default:
      refuse_element_size(element_size);
  }
}

}  // namespace

UnaryLoop unary_loop(UnaryOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, unary_table).loops[row(op)][row(dtype)];
}

BinaryLoop binary_loop(BinaryOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, binary_table).loops[row(op)][row(dtype)];
}

BinaryLoop compare_loop(IntegerCompare predicate, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, compare_table).integer[row(predicate)][row(dtype)];
}

BinaryLoop compare_loop(FloatCompare predicate, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, compare_table).floating[row(predicate)][row(dtype)];
}

TernaryLoop ternary_loop(TernaryOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, compare_table).ternary[row(op)][row(dtype)];
}

TernaryLoop select_loop(DType dtype, HostIsa isa) { return MTIA_TABLE(isa, compare_table).select[row(dtype)]; }

UnaryLoop convert_loop(DType from, DType to, ConvertMode mode, HostIsa isa) {
  return MTIA_TABLE(isa, convert_table).loops[mode.is_unsigned ? 1 : 0][row(mode.rounding)][row(from)][row(to)];
}

ReduceLoop reduce_rows_loop(ReduceOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, reduce_table).rows[row(op)][row(dtype)];
}

ReduceLoop reduce_columns_loop(ReduceOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, reduce_table).columns[row(op)][row(dtype)];
}

ScanLoop scan_rows_loop(ReduceOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, reduce_table).scan_rows[row(op)][row(dtype)];
}

ScanLoop scan_columns_loop(ReduceOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, reduce_table).scan_columns[row(op)][row(dtype)];
}

ReduceIndexLoop reduce_index_rows_loop(ReduceOp op, DType dtype, HostIsa isa) {
  return MTIA_TABLE(isa, reduce_table).index_rows[row(op)][row(dtype)];
}

void transpose(size_t element_size, void* dst, size_t dst_row_stride, const void* src, size_t src_row_stride,
               size_t rows, size_t columns, HostIsa isa) {
  const LayoutTable& table = MTIA_TABLE(isa, layout_table);
  with_element(element_size, [&](auto element) {
    constexpr size_t index = sizeof(element) == 8 ? 3 : sizeof(element) / 2;
    table.transpose[index](dst, dst_row_stride, src, src_row_stride, rows, columns);
  });
}

void philox_bits(uint32_t* dst, PhiloxSequence sequence, size_t n, HostIsa isa) {
  MTIA_TABLE(isa, random_table).bits(dst, sequence, n);
}

void philox_uniform(float* dst, PhiloxSequence sequence, size_t n, HostIsa isa) {
  MTIA_TABLE(isa, random_table).uniform(dst, sequence, n);
}

void philox_normal(float* dst, PhiloxSequence sequence, size_t n, HostIsa isa) {
  MTIA_TABLE(isa, random_table).normal(dst, sequence, n);
}

void fill(void* dst, const void* value, size_t element_size, size_t n) {
  with_element(element_size, [&](auto element) { fill_elements<decltype(element)>(dst, value, n); });
}

void iota(DType dtype, void* dst, int64_t start, size_t n) {
  with_element(size_of(dtype), [&](auto element) { iota_elements<decltype(element)>(dst, start, n); });
}

void copy_rows(void* dst, ptrdiff_t dst_stride, const void* src, ptrdiff_t src_stride, size_t rows, size_t row_bytes) {
  auto* d = static_cast<std::byte*>(dst);
  const auto* s = static_cast<const std::byte*>(src);
  if (dst_stride == src_stride && dst_stride == static_cast<ptrdiff_t>(row_bytes)) {
    std::memcpy(d, s, rows * row_bytes);
    return;
  }
  for (size_t r = 0; r < rows; ++r) {
    std::memcpy(d, s, row_bytes);
    d += dst_stride;
    s += src_stride;
  }
}

void gather_strided(size_t element_size, void* dst, const void* src, ptrdiff_t stride, size_t n) {
  with_element(element_size, [&](auto element) {
    using T = decltype(element);
    const T* s = static_cast<const T*>(src);
    for (size_t i = 0; i < n; ++i) static_cast<T*>(dst)[i] = s[static_cast<ptrdiff_t>(i) * stride];
  });
}

void scatter_strided(size_t element_size, void* dst, ptrdiff_t stride, const void* src, size_t n) {
  with_element(element_size, [&](auto element) {
    using T = decltype(element);
    T* d = static_cast<T*>(dst);
    for (size_t i = 0; i < n; ++i) d[static_cast<ptrdiff_t>(i) * stride] = static_cast<const T*>(src)[i];
  });
}

void gather(size_t element_size, void* dst, const void* src, const int64_t* index, size_t n) {
  with_element(element_size, [&](auto element) {
    using T = decltype(element);
    for (size_t i = 0; i < n; ++i) static_cast<T*>(dst)[i] = static_cast<const T*>(src)[index[i]];
  });
}

void scatter(size_t element_size, void* dst, const int64_t* index, const void* src, size_t n) {
  with_element(element_size, [&](auto element) {
    using T = decltype(element);
    for (size_t i = 0; i < n; ++i) static_cast<T*>(dst)[index[i]] = static_cast<const T*>(src)[i];
  });
}

void histogram(DType dtype, int32_t* counts, size_t bins, const void* values, size_t n) {
  with_element(size_of(dtype), [&](auto element) {
    using T = decltype(element);  // a negative value reads as one beyond every bin
    for (size_t i = 0; i < n; ++i) {
      const T value = static_cast<const T*>(values)[i];
      if (value < bins) ++counts[value];
    }
  });
}

}  // namespace mtia::host_math
