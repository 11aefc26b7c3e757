// The C++ kernel "integer_gemm": digits of 8 bits through the dot product engine, shifted sums in the vector core.
#include "kernels/cpp/integer_gemm.h"

#include <algorithm>
#include <array>
#include <vector>

#include "base/error.h"
#include "emulator/pe/processing_element.h"

namespace mtia::kernels {

namespace {

using emulator::CircularBuffer;
using emulator::DmaDescriptor;
using emulator::ProcessingElement;
using emulator::Tile;

constexpr uint32_t pages = 2;
constexpr int64_t digit_bits = 8;
// |digit| <= 2^7, so that 2^10 products of two stay below 2^24, where float32 is exact.
constexpr int64_t exact_products = 1024;

struct Tiling {
  int64_t extent;  // rows and columns of a tile of c
  int64_t depth;   // values of k in a page
};
constexpr std::array<Tiling, 5> tilings{{{64, 128}, {64, 64}, {64, 32}, {32, 32}, {16, 32}}};

int64_t divide_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// Narrow sums are computed in 32 bits: what is cut off at the end does not change the bits below.
DType sum_dtype(DType operands) { return operands == DType::I64 ? DType::I64 : DType::I32; }

uint64_t local_bytes_of(const Tiling& tiling, DType dtype) {
  const uint64_t size = size_of(dtype);
  const auto operand = static_cast<uint64_t>(tiling.extent * tiling.depth);
  const auto result = static_cast<uint64_t>(tiling.extent * tiling.extent);
  const uint64_t operands = 2 * operand * ((pages + 1) * size + 1 + size * size_of(DType::BF16));
  return operands + result * (2 * size_of(sum_dtype(dtype)) + size_of(DType::F32) + size) + 4096;
}

Tiling tiling_for(DType dtype, uint64_t local_bytes) {
  for (const Tiling& tiling : tilings) {
    if (local_bytes_of(tiling, dtype) <= local_bytes) return tiling;
  }
  throw OutOfLocalMemory(concat("the smallest tiles need ", local_bytes_of(tilings.back(), dtype),
                                " bytes of local memory, a PE has ", local_bytes, " free"),
                         "integer_gemm", "use a chip with more local memory");
}

uint64_t address_of(const GemmMatrix& matrix, DType dtype, int64_t row, int64_t column, int64_t batch) {
  const int64_t element = row * matrix.row_stride + column * matrix.column_stride + batch * matrix.batch_stride[0];
  return matrix.base + static_cast<uint64_t>(element) * size_of(dtype);
}

// One operand's pages, and its balanced digits, in [-128, 127]: x = sum of digit[i] * 2^(8 i) modulo 2^width.
class Operand {
 public:
  Operand(ProcessingElement& pe, const GemmMatrix& matrix, DType dtype, int64_t rows, int64_t columns)
      : pe_(pe),
        matrix_(matrix),
        dtype_(dtype),
        pages_(pe, dtype, rows, columns, pages),
        shifted_(pe.allocate(dtype, rows, columns)),
        narrow_(pe.allocate(DType::I8, rows, columns)),
        bias_(pe.allocate(dtype, 1, 1)) {
    pe.fill_bits(bias_, 0x8080808080808080ULL);
    for (size_t i = 0; i < size_of(dtype); ++i) digits_.push_back(pe.allocate(DType::BF16, rows, columns));
  }

  // A matrix whose columns lie apart comes as its transpose, in long rows.
  void load(int64_t row, int64_t rows, int64_t column, int64_t columns, int64_t batch) {
    CircularBuffer::Reserved window = pages_.reserve();
    DmaDescriptor source{.base = address_of(matrix_, dtype_, row, column, batch),
                         .dtype = dtype_,
                         .row_stride = matrix_.row_stride,
                         .column_stride = matrix_.column_stride};
    Tile page = window.tile().reshaped(rows, columns);
    if (is_transposed()) {
      page = window.tile().reshaped(columns, rows);
      std::swap(source.row_stride, source.column_stride);
    }
    pe_.dma_load(page, source);
    window.set(page);
  }

  // With 0x80 added to every byte (whose carries make digits signed) a byte is its digit and 0x80.
  void take_apart() {
    const CircularBuffer::Front front = pages_.front();
    const Tile page = front.tile();
    const Tile shifted = shifted_.reshaped(page.rows, page.columns);
    const Tile narrow = narrow_.reshaped(page.rows, page.columns);
    pe_.vector(Opcode::add_i, shifted, page, bias_);
    for (size_t i = 0; i < digits_.size(); ++i) {
      if (i > 0) pe_.vector(Opcode::shr_u, shifted, shifted, digit_bits);
      pe_.convert(narrow, shifted);
      pe_.vector(Opcode::xor_i, narrow, narrow, -128.0);
      pe_.convert(digits_[i].reshaped(page.rows, page.columns), narrow);
    }
    rows_ = page.rows;
    columns_ = page.columns;
  }

  size_t digits() const { return digits_.size(); }
  Tile digit(size_t i) const {
    const Tile tile = digits_[i].reshaped(rows_, columns_);
    return is_transposed() ? tile.transposed() : tile;
  }

 private:
  bool is_transposed() const { return matrix_.column_stride != 1 && matrix_.row_stride == 1; }

  ProcessingElement& pe_;
  GemmMatrix matrix_;
  DType dtype_;
  CircularBuffer pages_;
  Tile shifted_;
  Tile narrow_;
  Tile bias_;
  std::vector<Tile> digits_;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

class IntegerGemm {
 public:
  IntegerGemm(ProcessingElement& pe, const IntegerGemmArguments& arguments, const Tiling& tiling)
      : pe_(pe),
        arguments_(arguments),
        tiling_(tiling),
        a_(pe, arguments.a, arguments.dtype, tiling.extent, tiling.depth),
        b_(pe, arguments.b, arguments.dtype, tiling.depth, tiling.extent),
        products_(pe.allocate(DType::F32, tiling.extent, tiling.extent)),
        term_(pe.allocate(sum_dtype(arguments.dtype), tiling.extent, tiling.extent)),
        sum_(pe.allocate(sum_dtype(arguments.dtype), tiling.extent, tiling.extent)),
        result_(pe.allocate(arguments.dtype, tiling.extent, tiling.extent)),
        factor_(pe.allocate(sum_dtype(arguments.dtype), 1, 1)) {}

  void run() {
    const int64_t down = divide_up(arguments_.m, tiling_.extent);
    const int64_t across = divide_up(arguments_.n, tiling_.extent);
    const int64_t steps = arguments_.alpha == 0 ? 0 : divide_up(arguments_.k, tiling_.depth);
    for (int64_t tile = pe_.index(); tile < down * across * arguments_.batch; tile += pe_.count()) {
      row_ = tile % down * tiling_.extent;
      column_ = tile / down % across * tiling_.extent;
      batch_ = tile / (down * across);
      rows_ = std::min(tiling_.extent, arguments_.m - row_);
      columns_ = std::min(tiling_.extent, arguments_.n - column_);
      const Tile sum = sum_.reshaped(rows_, columns_);
      pe_.fill(sum, 0.0);
      int64_t loaded = 0;
      for (int64_t step = 0; step < steps; ++step) {
        for (; loaded < std::min<int64_t>(step + pages, steps); ++loaded) load(loaded * tiling_.depth);
        a_.take_apart();
        b_.take_apart();
        add_products(sum);
      }
      finish(sum);
    }
  }

 private:
  void load(int64_t p) {
    const int64_t depth = std::min(tiling_.depth, arguments_.k - p);
    a_.load(row_, rows_, p, depth, batch_);
    b_.load(p, depth, column_, columns_, batch_);
  }

  // Products of digits that meet at one place are summed in the engine; places beyond the width count for nothing.
  void add_products(const Tile& sum) {
    const Tile products = products_.reshaped(rows_, columns_);
    const Tile term = term_.reshaped(rows_, columns_);
    for (size_t place = 0; place < a_.digits(); ++place) {
      for (size_t i = 0; i <= place; ++i) pe_.dot(products, a_.digit(i), b_.digit(place - i), i > 0);
      pe_.convert(term, products);
      if (place > 0) pe_.vector(Opcode::shl, term, term, static_cast<double>(place * digit_bits));
      pe_.vector(Opcode::add_i, sum, sum, term);
    }
  }

  void scale(const Tile& tile, int64_t by) {
    if (by == 1) return;
    pe_.fill_bits(factor_, static_cast<uint64_t>(by));
    pe_.vector(Opcode::mul_i, tile, tile, factor_);
  }

  void finish(const Tile& sum) {
    const Tile result = result_.reshaped(rows_, columns_);
    scale(sum, arguments_.alpha);
    if (arguments_.addend.base != 0 && arguments_.beta != 0) {
      const GemmMatrix& addend = arguments_.addend;
      const Tile term = term_.reshaped(rows_, columns_);
      pe_.dma_load(result, {.base = address_of(addend, arguments_.dtype, row_, column_, batch_),
                            .dtype = arguments_.dtype,
                            .row_stride = addend.row_stride,
                            .column_stride = addend.column_stride});
      pe_.convert(term, result);
      scale(term, arguments_.beta);
      pe_.vector(Opcode::add_i, sum, sum, term);
    }
    pe_.convert(result, sum);
    pe_.dma_store({.base = address_of(arguments_.c, arguments_.dtype, row_, column_, batch_),
                   .dtype = arguments_.dtype,
                   .row_stride = arguments_.c.row_stride,
                   .column_stride = arguments_.c.column_stride},
                  result);
  }

  ProcessingElement& pe_;
  IntegerGemmArguments arguments_;
  Tiling tiling_;
  Operand a_;
  Operand b_;
  Tile products_;
  Tile term_;
  Tile sum_;
  Tile result_;
  Tile factor_;
  int64_t row_ = 0;
  int64_t column_ = 0;
  int64_t batch_ = 0;
  int64_t rows_ = 0;
  int64_t columns_ = 0;
};

void integer_gemm(ProcessingElement& pe, const IntegerGemmArguments& arguments) {
  const Tiling tiling = tiling_for(arguments.dtype, pe.local_bytes_free());
  static_assert(tilings.front().depth * static_cast<int64_t>(sizeof(int64_t)) <= exact_products);
  const int64_t tiles = divide_up(arguments.m, tiling.extent) * divide_up(arguments.n, tiling.extent) * arguments.batch;
  // Small products leave most PEs idle.
  if (tiles > pe.index()) IntegerGemm(pe, arguments, tiling).run();
}

MTIA_CPP_KERNEL("integer_gemm", integer_gemm, IntegerGemmArguments);

}  // namespace

}  // namespace mtia::kernels
