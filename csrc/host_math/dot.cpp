// Blocks a matrix product for the caches and calls the micro-kernels.
#include "host_math/dot.h"

#include <algorithm>
#include <cstdlib>
#include <memory>
#include <new>
#include <optional>

#include "base/error.h"
#include "host_math/dot_kernels.h"
#include "host_math/elementwise.h"

namespace mtia::host_math {

namespace {

// Bytes of packed b a pass covers.
constexpr size_t n_block_bytes = 384 * 1024;

// Panels of a that are packed at once, and the most values of k where they are not packed yet.
constexpr size_t panels_of_a_block = 16;
constexpr size_t k_of_a_block = 1024;

constexpr size_t cache_line = 64;

// Bytes of packed b that are left in the first-level cache while rows of a go by.
constexpr size_t share_of_first_cache = 20 * 1024;

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

// The kernels of one row of host_isas.def.
struct KernelsOfIsa {
  const DotKernels* f32;
  const DotKernels* f64;
  const DotKernels* bf16;
  const DotKernels* i8;
};

constexpr KernelsOfIsa kernels_of_isas[] = {
#define MTIA_HOST_ISA_ROW(name, loops, dots, bf16, i8, bits) \
  {&dots::dot_f32, &dots::dot_f64, &bf16::dot_bf16, &i8::dot_i8},
#include "host_math/host_isas.def"
#undef MTIA_HOST_ISA_ROW
};

const DotKernels& kernels_for(DType dtype, HostIsa isa) {
  const KernelsOfIsa& kernels = kernels_of_isas[static_cast<size_t>(isa)];
  switch (dtype) {
    case DType::F32:
    case DType::F16:
      return *kernels.f32;
    case DType::F64:
      return *kernels.f64;
    case DType::BF16:
    case DType::F8E4M3:
    case DType::F8E5M2:  // every number of 8 bits is one of bf16
      return *kernels.bf16;
    case DType::I8:
      return *kernels.i8;
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

// A copy in `scratch` of the part [0, count) x [0, k) of an operand of another dtype, converted to `kernels.operand`,
// adjacent along k or i as the original is.
Operand converted(const DotKernels& kernels, DType dtype, const Operand& source, size_t count, size_t k,
                  Scratch& scratch, HostIsa isa) {
  const auto size = static_cast<ptrdiff_t>(size_of(dtype));
  const auto wide = static_cast<ptrdiff_t>(size_of(kernels.operand));
  const UnaryLoop convert = convert_loop(dtype, kernels.operand, {}, isa);
  const bool along_k = source.k_stride == size || source.i_stride != size;
  const size_t outer = along_k ? count : k;
  const size_t inner = along_k ? k : count;
  const ptrdiff_t outer_stride = along_k ? source.i_stride : source.k_stride;
  const ptrdiff_t inner_stride = along_k ? source.k_stride : source.i_stride;
  std::byte* copy = scratch.get(count * k * static_cast<size_t>(wide));
  // What lies one behind the other is converted at once.
  const bool is_dense = inner_stride == size && outer_stride == static_cast<ptrdiff_t>(inner) * size;
  const size_t run = is_dense ? outer * inner : inner;
  for (size_t o = 0; o * run < outer * inner; ++o) {
    const std::byte* from = source.data + static_cast<ptrdiff_t>(o) * outer_stride;
    std::byte* to = copy + static_cast<ptrdiff_t>(o * inner) * wide;
    if (inner_stride == size) {
      convert(to, from, run);
    } else {
      for (size_t i = 0; i < inner; ++i)
        convert(to + static_cast<ptrdiff_t>(i) * wide, from + static_cast<ptrdiff_t>(i) * inner_stride, 1);
    }
  }
  const auto row = static_cast<ptrdiff_t>(inner) * wide;
  return along_k ? Operand{copy, row, wide} : Operand{copy, wide, row};
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

// One of the two operands of a product, as it is packed: panels of `wide` rows of a, or columns of b.
enum class Side : uint8_t { a, b };

size_t wide_of(const DotKernels& kernels, Side side) { return side == Side::a ? kernels.mr : kernels.nr; }

// What is packed at once of an operand's [0, count) x [0, k): whole panels, or where i is adjacent some k of all
// panels, so that long runs are read either way.
class PackParts {
 public:
  PackParts(const DotKernels& kernels, Side side, const Operand& source, size_t size, size_t count, size_t k)
      : wide_(wide_of(kernels, side)),
        count_(count),
        k_(k),
        cuts_k_(source.i_stride == static_cast<ptrdiff_t>(size) && source.k_stride != static_cast<ptrdiff_t>(size)),
        k_at_once_(round_up(16, kernels.k_step)) {
    const size_t step_bytes = panel_bytes(kernels, wide_, kernels.k_step);
    step_ = cuts_k_ ? kernels.k_step : wide_;
    const size_t bytes = cuts_k_ ? round_up(count, wide_) / wide_ * step_bytes : panel_bytes(kernels, wide_, k);
    step_ *= std::max<size_t>(1, part_bytes / std::max<size_t>(1, bytes));
  }

  size_t size() const { return ((cuts_k_ ? k_ : count_) + step_ - 1) / step_; }

  struct Part {
    size_t first;  // of i
    size_t count;
    size_t first_k;
    size_t k;
    size_t k_at_once;  // of all its panels, so that short rows are read once
  };
  Part operator[](size_t part) const {
    const size_t at = part * step_;
    if (cuts_k_) return {0, count_, at, std::min(step_, k_ - at), k_at_once_};
    return {at, std::min(step_, count_ - at), 0, k_, k_};
  }

 private:
  static constexpr size_t part_bytes = 32 * 1024;

  size_t wide_;
  size_t count_;
  size_t k_;
  bool cuts_k_;
  size_t k_at_once_;
  size_t step_;
};

// Packs a part into the panels of the whole operand, which are `bytes` apart.
void pack_part(const DotKernels& kernels, Side side, DType dtype, std::byte* panels, size_t bytes,
               const Operand& operand, const PackParts::Part& part, HostIsa isa) {
  const size_t wide = wide_of(kernels, side);
  const size_t size = size_of(dtype);
  const auto pack_panel = [&](size_t i, size_t p, size_t k) {
    const size_t count = std::min(wide, part.count - i);
    const Operand source = advance(operand, part.first + i, part.first_k + p);
    const Operand panel = dtype == kernels.operand ? source
                                                   : converted(kernels, dtype, source, count, k,
                                                               side == Side::a ? converted_a : converted_b, isa);
    std::byte* to = panels + (part.first + i) / wide * bytes + panel_bytes(kernels, wide, part.first_k + p);
    if (side == Side::a) {
      kernels.pack_a(to, panel.data, panel.i_stride, panel.k_stride, count, k);
    } else {
      kernels.pack_b(to, panel.data, panel.k_stride, panel.i_stride, count, k);
    }
  };
  if (part.k_at_once < part.k) {
    for (size_t p = 0; p < part.k; p += part.k_at_once) {
      for (size_t i = 0; i < part.count; i += wide) pack_panel(i, p, std::min(part.k_at_once, part.k - p));
    }
    return;
  }
  const auto prefetch_panel = [&](size_t i) {
    if (i < part.count)
      prefetch_operand(advance(operand, part.first + i, part.first_k), std::min(wide, part.count - i), part.k, size);
  };
  prefetch_panel(0);
  for (size_t i = 0; i < part.count; i += wide) {
    prefetch_panel(i + wide);
    pack_panel(i, 0, part.k);
  }
}

// Packs the panels of an operand's [0, count) x [0, k), one after the other.
void pack_panels(const DotKernels& kernels, Side side, DType dtype, std::byte* panels, const Operand& source,
                 size_t count, size_t k, HostIsa isa) {
  const PackParts parts(kernels, side, source, size_of(dtype), count, k);
  const size_t bytes = panel_bytes(kernels, wide_of(kernels, side), k);
  for (size_t part = 0; part < parts.size(); ++part)
    pack_part(kernels, side, dtype, panels, bytes, source, parts[part], isa);
}

// Packed panels, `bytes` apart.
struct Panels {
  const std::byte* data;
  size_t bytes;
};

// The panels of the values of k from p on; p is a multiple of k_step.
Panels advance(const Panels& panels, const DotKernels& kernels, size_t wide, size_t p) {
  return {panels.data == nullptr ? nullptr : panels.data + panel_bytes(kernels, wide, p), panels.bytes};
}

// Columns of c for which a is read where it lies, if the kernels can, rather than packed first. Tiles are loaded from
// rows of a, a line each, about as fast as from a panel.
size_t narrow(const DotKernels& kernels) { return kernels.element_bytes >= cache_line ? 1536 : 128; }

// Kernels that come back to a cache line for each of its elements need all rows of a block in the first-level cache,
// where rows too far apart take each other's place.
constexpr size_t near_bytes = 32 * 1024;

bool reads_rows(const DotKernels& kernels, DType dtype, const Operand& a, size_t n, size_t k) {
  if (kernels.multiply_rows == nullptr || n > narrow(kernels) || a.k_stride != static_cast<ptrdiff_t>(size_of(dtype)) ||
      k % kernels.k_step != 0)
    return false;
  const size_t row =
      dtype == kernels.operand ? static_cast<size_t>(std::abs(a.i_stride)) : k * size_of(kernels.operand);
  return kernels.element_bytes >= cache_line || row * kernels.mr <= near_bytes;
}

// Whether the rows of a, packed or read where they lie, are too many for the first-level cache to keep them from one
// panel of b to the next.
bool passes_by(const DotKernels& kernels, DType dtype, const Operand& a, const void* packed_a, size_t m, size_t n,
               size_t k) {
  if (packed_a == nullptr && (dtype != kernels.operand || !reads_rows(kernels, dtype, a, n, k))) return false;
  return m * std::min(k, kernels.k_block) * size_of(kernels.operand) > near_bytes;
}

// Calls block(row, column) for the blocks of rows [first, last) and columns [0, n): down the rows first, so that a
// panel of b stays in the first-level cache, or along the columns first, where all panels stay there and a goes by
// once.
template <typename Block>
void for_each_block(const DotKernels& kernels, size_t first, size_t last, size_t n, size_t bytes_of_b,
                    const Block& block) {
  if (round_up(n, kernels.nr) / kernels.nr * bytes_of_b <= share_of_first_cache) {
    for (size_t row = first; row < last; row += kernels.mr) {
      for (size_t column = 0; column < n; column += kernels.nr) block(row, column);
    }
    return;
  }
  for (size_t column = 0; column < n; column += kernels.nr) {
    for (size_t row = first; row < last; row += kernels.mr) block(row, column);
  }
}

// A product whose rows of a pass by the first-level cache: the panels in the order in which they are first multiplied,
// a share for each block of c, so that they come to the second-level cache up to a k block early.
class PassingPanels {
 public:
  // `a` without data: a is read where it lies, and only b's panels are fetched.
  PassingPanels(const DotKernels& kernels, const Panels& a, const Panels& b, size_t m, size_t n, size_t k,
                size_t k_block)
      : kernels_(kernels), sides_{a, b}, k_(k), k_block_(k_block) {
    const size_t down = round_up(m, kernels.mr) / kernels.mr;
    const size_t across = round_up(n, kernels.nr) / kernels.nr;
    count_[0] = a.data == nullptr ? 0 : down;
    count_[1] = across;
    const size_t depth = std::min(k, k_block);
    const size_t bytes =
        count_[0] * panel_bytes(kernels, kernels.mr, depth) + count_[1] * panel_bytes(kernels, kernels.nr, depth);
    share_ = round_up(bytes / (down * across) + 1, cache_line);
    start_panel(1, 1);
  }

  struct Bytes {
    const std::byte* data = nullptr;
    size_t count = 0;
  };

  // What to fetch beside a block of c.
  Bytes next() {
    if (p_ >= k_ || p_ > now_ + k_block_) return {};
    const size_t wide = side_ == 0 ? kernels_.mr : kernels_.nr;
    const Panels from = advance(sides_[side_], kernels_, wide, p_);
    const size_t bytes = panel_bytes(kernels_, wide, std::min(k_block_, k_ - p_));
    const size_t count = std::min(share_, bytes - at_);
    const Bytes result{from.data + panel_ * from.bytes + at_, count};
    at_ += count;
    if (at_ == bytes) start_panel(side_, panel_ + 1);
    return result;
  }

  // Values of k from p on are multiplied now.
  void start_block(size_t p) { now_ = p; }

 private:
  void start_panel(size_t side, size_t panel) {
    at_ = 0;
    side_ = side;
    for (panel_ = panel; panel_ >= count_[side_]; panel_ = 0) {
      side_ = 1 - side_;
      if (side_ == 0) p_ += k_block_;
    }
  }

  const DotKernels& kernels_;
  Panels sides_[2];
  size_t count_[2];
  size_t k_;
  size_t k_block_;
  size_t share_;
  size_t now_ = 0;
  size_t p_ = 0;  // what comes next: from this value of k on, of this side and panel, from this byte on
  size_t side_ = 0;
  size_t panel_ = 0;
  size_t at_ = 0;
};

// c (+)= a * b for packed b of one k block, reading a's rows, or a block of them that is converted first.
void multiply_rows(const DotKernels& kernels, DType dtype, std::byte* c, ptrdiff_t c_row_stride, size_t c_size,
                   const Operand& a, const Panels& b, size_t m, size_t n, size_t k, bool accumulate, HostIsa isa,
                   PassingPanels* passing = nullptr) {
  if (dtype != kernels.operand) {
    for (size_t row = 0; row < m; row += kernels.mr) {
      const size_t rows = std::min(kernels.mr, m - row);
      const Operand wide = converted(kernels, dtype, advance(a, row, 0), rows, k, converted_a, isa);
      std::byte* target = c + static_cast<ptrdiff_t>(row) * c_row_stride * static_cast<ptrdiff_t>(c_size);
      multiply_rows(kernels, kernels.operand, target, c_row_stride, c_size, wide, b, rows, n, k, accumulate, isa);
    }
    return;
  }
  const auto block = [&](size_t row, size_t column) {
    const auto down = static_cast<ptrdiff_t>(row);
    std::byte* target = c + (down * c_row_stride + static_cast<ptrdiff_t>(column)) * static_cast<ptrdiff_t>(c_size);
    const std::byte* left = a.data + down * a.i_stride;
    const std::byte* right = b.data + column / kernels.nr * b.bytes;
    const size_t rows = std::min(kernels.mr, m - row);
    const size_t columns = std::min(kernels.nr, n - column);
    const size_t steps = k / kernels.k_step;
    if (passing != nullptr) {
      const PassingPanels::Bytes ahead = passing->next();
      return kernels.multiply_passing_rows(target, c_row_stride, left, a.i_stride, right, rows, columns, steps,
                                           accumulate, ahead.data, ahead.count / cache_line);
    }
    if (column == 0 && row + kernels.mr < m) {
      const auto below = static_cast<ptrdiff_t>(row + kernels.mr);
      prefetch_block(a.data + below * a.i_stride, a.i_stride, std::min(kernels.mr, m - row - kernels.mr),
                     k * static_cast<size_t>(a.k_stride));
    }
    kernels.multiply_rows(target, c_row_stride, left, a.i_stride, right, rows, columns, steps, accumulate);
  };
  for_each_block(kernels, 0, m, n, b.bytes, block);
}

// c (+)= a * b for packed b of one k block. `packed_a`: all panels of a, or no data.
void multiply_block(const DotKernels& kernels, DType dtype, std::byte* c, ptrdiff_t c_row_stride, const Operand& a,
                    const Panels& packed_a, const Panels& b, size_t m, size_t n, size_t k, bool accumulate, HostIsa isa,
                    PassingPanels* passing = nullptr) {
  const auto c_size = static_cast<ptrdiff_t>(size_of(accumulator_of(dtype)));
  if (packed_a.data == nullptr && reads_rows(kernels, dtype, a, n, k)) {
    return multiply_rows(kernels, dtype, c, c_row_stride, static_cast<size_t>(c_size), a, b, m, n, k, accumulate, isa,
                         passing);
  }
  const size_t steps = round_up(k, kernels.k_step) / kernels.k_step;
  for (size_t first = 0; first < m; first += kernels.mr * panels_of_a_block) {
    const size_t last = std::min(m, first + kernels.mr * panels_of_a_block);
    Panels left{packed_a.data + first / kernels.mr * packed_a.bytes, packed_a.bytes};
    if (packed_a.data == nullptr) {
      const size_t bytes = panel_bytes(kernels, kernels.mr, k);
      std::byte* fresh = panels_of_a.get(round_up(last - first, kernels.mr) / kernels.mr * bytes);
      pack_panels(kernels, Side::a, dtype, fresh, advance(a, first, 0), last - first, k, isa);
      left = {fresh, bytes};
    }
    for_each_block(kernels, first, last, n, b.bytes, [&](size_t row, size_t column) {
      const size_t columns = std::min(kernels.nr, n - column);
      std::byte* target = c + (static_cast<ptrdiff_t>(row) * c_row_stride + static_cast<ptrdiff_t>(column)) * c_size;
      const std::byte* left_panel = left.data + (row - first) / kernels.mr * left.bytes;
      const std::byte* right = b.data + column / kernels.nr * b.bytes;
      const size_t rows = std::min(kernels.mr, last - row);
      if (passing != nullptr) {
        const PassingPanels::Bytes ahead = passing->next();
        return kernels.multiply_passing(target, c_row_stride, left_panel, right, rows, columns, steps, accumulate,
                                        ahead.data, ahead.count / cache_line);
      }
      if (accumulate && row + kernels.mr < last) {
        prefetch_block(target + static_cast<ptrdiff_t>(kernels.mr) * c_row_stride * c_size, c_row_stride * c_size,
                       std::min(kernels.mr, last - row - kernels.mr), columns * static_cast<size_t>(c_size));
      }
      kernels.multiply(target, c_row_stride, left_panel, right, rows, columns, steps, accumulate);
    });
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
  const DType operand = kernels_for(dtype, HostIsa::plain).operand;
  return operand == DType::F64 ? DType::F64 : operand == DType::I8 ? DType::I32 : DType::F32;
}

void dot(DType dtype, const Matrix& c, const ConstMatrix& a, const ConstMatrix& b, size_t m, size_t n, size_t k,
         bool accumulate, HostIsa isa) {
  if (m == 0 || n == 0) return;
  const DotKernels& kernels = kernels_for(dtype, isa);
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
  if (kernels.prepare != nullptr) kernels.prepare();
  const size_t k_block = std::min(kernels.k_block, k_of_a_block);
  for (size_t p = 0; p < k; p += k_block) {
    const size_t depth = std::min(k_block, k - p);
    const size_t panel = panel_bytes(kernels, kernels.nr, depth);
    const size_t n_block = std::max<size_t>(1, n_block_bytes / panel) * kernels.nr;
    for (size_t column = 0; column < n; column += n_block) {
      const size_t width = std::min(n_block, n - column);
      std::byte* panels = panels_of_b.get(round_up(width, kernels.nr) / kernels.nr * panel);
      pack_panels(kernels, Side::b, dtype, panels, advance(right, column, p), width, depth, isa);
      std::byte* target = static_cast<std::byte*>(c.data) + column * c_size;
      multiply_block(kernels, dtype, target, c.row_stride, advance(left, 0, p), {}, {panels, panel}, m, width, depth,
                     accumulate || p > 0, isa);
    }
  }
}

bool reads_rows_in_place(DType dtype, const ConstMatrix& a, size_t n, size_t k, HostIsa isa) {
  return reads_rows(kernels_for(dtype, isa), dtype, operand_of_a(a, size_of(dtype)), n, k);
}

size_t packed_b_bytes(DType dtype, size_t k, size_t n, HostIsa isa) {
  const DotKernels& kernels = kernels_for(dtype, isa);
  return panel_bytes(kernels, round_up(n, kernels.nr), k);
}

size_t packed_a_bytes(DType dtype, size_t m, size_t k, HostIsa isa) {
  const DotKernels& kernels = kernels_for(dtype, isa);
  return panel_bytes(kernels, round_up(m, kernels.mr), k);
}

void pack_a(DType dtype, void* packed, const ConstMatrix& a, size_t m, size_t k, HostIsa isa) {
  pack_panels(kernels_for(dtype, isa), Side::a, dtype, static_cast<std::byte*>(packed), operand_of_a(a, size_of(dtype)),
              m, k, isa);
}

void pack_b(DType dtype, void* packed, const ConstMatrix& b, size_t k, size_t n, HostIsa isa) {
  pack_panels(kernels_for(dtype, isa), Side::b, dtype, static_cast<std::byte*>(packed), operand_of_b(b, size_of(dtype)),
              n, k, isa);
}

namespace {

size_t parts_of(Side side, DType dtype, const Operand& source, size_t count, size_t k, HostIsa isa) {
  return PackParts(kernels_for(dtype, isa), side, source, size_of(dtype), count, k).size();
}

void pack_part_of(Side side, DType dtype, void* packed, const Operand& source, size_t count, size_t k, size_t part,
                  HostIsa isa) {
  const DotKernels& kernels = kernels_for(dtype, isa);
  pack_part(kernels, side, dtype, static_cast<std::byte*>(packed), panel_bytes(kernels, wide_of(kernels, side), k),
            source, PackParts(kernels, side, source, size_of(dtype), count, k)[part], isa);
}

}  // namespace

size_t parts_of_a(DType dtype, const ConstMatrix& a, size_t m, size_t k, HostIsa isa) {
  return parts_of(Side::a, dtype, operand_of_a(a, size_of(dtype)), m, k, isa);
}

void pack_part_of_a(DType dtype, void* packed, const ConstMatrix& a, size_t m, size_t k, size_t part, HostIsa isa) {
  pack_part_of(Side::a, dtype, packed, operand_of_a(a, size_of(dtype)), m, k, part, isa);
}

size_t parts_of_b(DType dtype, const ConstMatrix& b, size_t k, size_t n, HostIsa isa) {
  return parts_of(Side::b, dtype, operand_of_b(b, size_of(dtype)), n, k, isa);
}

void pack_part_of_b(DType dtype, void* packed, const ConstMatrix& b, size_t k, size_t n, size_t part, HostIsa isa) {
  pack_part_of(Side::b, dtype, packed, operand_of_b(b, size_of(dtype)), n, k, part, isa);
}

void dot_packed(DType dtype, const Matrix& c, const ConstMatrix& a, const void* packed_a, const void* packed_b,
                size_t m, size_t n, size_t k, bool accumulate, HostIsa isa) {
  if (m == 0 || n == 0) return;
  if (k == 0) {
    if (!accumulate) clear(c, size_of(accumulator_of(dtype)), m, n);
    return;
  }
  const DotKernels& kernels = kernels_for(dtype, isa);
  if (kernels.prepare != nullptr) kernels.prepare();
  const Operand left = operand_of_a(a, size_of(dtype));
  const Panels panels_a{static_cast<const std::byte*>(packed_a), panel_bytes(kernels, kernels.mr, k)};
  const Panels panels_b{static_cast<const std::byte*>(packed_b), panel_bytes(kernels, kernels.nr, k)};
  const bool passes = kernels.multiply_passing != nullptr && passes_by(kernels, dtype, left, packed_a, m, n, k);
  const size_t k_block = passes                ? 2 * kernels.k_block  // a takes no room beside b's panel
                         : packed_a == nullptr ? std::min(kernels.k_block, k_of_a_block)
                                               : kernels.k_block;
  std::optional<PassingPanels> passing;
  if (passes) passing.emplace(kernels, panels_a, panels_b, m, n, k, k_block);
  for (size_t p = 0; p < k; p += k_block) {
    if (passes) passing->start_block(p);
    multiply_block(kernels, dtype, static_cast<std::byte*>(c.data), c.row_stride,
                   packed_a == nullptr ? advance(left, 0, p) : left, advance(panels_a, kernels, kernels.mr, p),
                   advance(panels_b, kernels, kernels.nr, p), m, n, std::min(k_block, k - p), accumulate || p > 0, isa,
                   passes ? &*passing : nullptr);
  }
}

}  // namespace mtia::host_math
