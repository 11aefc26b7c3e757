// The C++ kernel "gemm": each PE computes whole tiles of c; double-buffered loads of a and b feed the dot product
// engine.
#include "kernels/cpp/gemm.h"

#include <algorithm>
#include <array>
#include <cstddef>
#include <iterator>
#include <string>
#include <utility>
#include <vector>

#include "emulator/pe/processing_element.h"
#include "kernels/cpp/gemm_tiling.h"

namespace mtia::kernels {

namespace {

using emulator::AddressRange;
using emulator::CircularBuffer;
using emulator::DmaDescriptor;
using emulator::ProcessingElement;
using emulator::Tile;

// PEs of one launch run on a few host threads and all ask for the same tiling: each thread remembers its last answers.
const GemmTiling& tiling_for(ProcessingElement& pe, const GemmShape& shape) {
  struct Entry {
    GemmShape shape{};
    std::string chip;
    uint64_t local_bytes = 0;
    uint32_t count = 0;
    GemmTiling tiling{};
  };
  thread_local std::array<Entry, 16> memory;
  thread_local size_t next = 0;
  const uint64_t local_bytes = pe.local_bytes_free();
  for (const Entry& entry : memory) {
    if (entry.count == pe.count() && entry.local_bytes == local_bytes && entry.shape == shape &&
        entry.chip == pe.chip().name) {
      return entry.tiling;
    }
  }
  Entry& entry = memory[next++ % memory.size()];
  entry.tiling = choose_gemm_tiling(pe.chip(), shape, pe.count(), local_bytes);
  entry.shape = shape;
  entry.chip = pe.chip().name;
  entry.local_bytes = local_bytes;
  entry.count = pe.count();
  return entry.tiling;
}

uint64_t address_of(const GemmMatrix& matrix, DType dtype, int64_t row, int64_t column, int64_t first, int64_t second) {
  const int64_t element = row * matrix.row_stride + column * matrix.column_stride + first * matrix.batch_stride[0] +
                          second * matrix.batch_stride[1];
  return matrix.base + static_cast<uint64_t>(element) * size_of(dtype);
}

GemmMatrix transposed(GemmMatrix matrix) {
  std::swap(matrix.row_stride, matrix.column_stride);
  return matrix;
}

// c^T = b^T a^T, so that c's columns are adjacent in every case.
GemmArguments with_adjacent_columns(const GemmArguments& arguments) {
  if (arguments.c.column_stride == 1 || arguments.n == 1) return arguments;
  GemmArguments other = arguments;
  std::swap(other.m, other.n);
  other.a = transposed(arguments.b);
  other.b = transposed(arguments.a);
  other.c = transposed(arguments.c);
  other.addend = transposed(arguments.addend);
  return other;
}

int64_t divide_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

GemmShape shape_of(const GemmArguments& arguments) {
  const bool has_addend = arguments.addend.base != 0 && arguments.beta != 0;
  return {.m = arguments.m,
          .n = arguments.n,
          .k = arguments.k,
          .batches = arguments.batch[0] * arguments.batch[1],
          .operands = arguments.dtype,
          .result = arguments.c_dtype,
          .has_addend = has_addend,
          .addend = has_addend ? arguments.addend_dtype : DType::F32};
}

// Bytes of device memory from a matrix's first element to its last.
struct Reach {
  uint64_t low;
  uint64_t high;
  bool meets(const Reach& other) const { return low < other.high && other.low < high; }
};

Reach reach_of(const GemmArguments& arguments, const GemmMatrix& matrix, DType dtype, int64_t rows, int64_t columns) {
  int64_t low = 0;
  int64_t high = 0;
  const int64_t extents[] = {rows, columns, arguments.batch[0], arguments.batch[1]};
  const int64_t strides[] = {matrix.row_stride, matrix.column_stride, matrix.batch_stride[0], matrix.batch_stride[1]};
  for (size_t d = 0; d < 4; ++d) {
    const int64_t last = (extents[d] - 1) * strides[d];
    low += std::min<int64_t>(0, last);
    high += std::max<int64_t>(0, last);
  }
  const auto size = static_cast<int64_t>(size_of(dtype));
  return {matrix.base + static_cast<uint64_t>(low * size), matrix.base + static_cast<uint64_t>((high + 1) * size)};
}

// Whether c may be written before its tile is stored: nothing else of the launch reads it.
bool result_is_apart(const GemmArguments& arguments, bool has_addend) {
  const int64_t m = arguments.m;
  const int64_t n = arguments.n;
  const int64_t k = arguments.k;
  if (m == 0 || n == 0 || k == 0 || arguments.batch[0] == 0 || arguments.batch[1] == 0) return false;
  const Reach c = reach_of(arguments, arguments.c, arguments.c_dtype, m, n);
  return !c.meets(reach_of(arguments, arguments.a, arguments.dtype, m, k)) &&
         !c.meets(reach_of(arguments, arguments.b, arguments.dtype, k, n)) &&
         !(has_addend && c.meets(reach_of(arguments, arguments.addend, arguments.addend_dtype, m, n)));
}

int64_t tiles_of(const GemmArguments& arguments, const GemmTiling& tiling) {
  return divide_up(arguments.m, tiling.rows) * divide_up(arguments.n, tiling.columns) * arguments.batch[0] *
         arguments.batch[1];
}

// Loads the part [row, row + rows) x [column, column + columns) of an operand into a page. A matrix whose columns lie
// apart is loaded as its transpose, in long rows, and the engine reads the page transposed.
void load_operand(ProcessingElement& pe, CircularBuffer& pages, const GemmMatrix& matrix, DType dtype, int64_t row,
                  int64_t rows, int64_t column, int64_t columns, int64_t first, int64_t second, uint32_t readers) {
  CircularBuffer::Reserved window = pages.reserve();
  const uint64_t base = address_of(matrix, dtype, row, column, first, second);
  Tile page = window.tile();
  if (matrix.column_stride != 1 && matrix.row_stride == 1) {
    page.rows = columns;
    page.columns = rows;
    page.row_stride = rows;
    window.set(
        pe.dma_view(page,
                    DmaDescriptor{.base = base, .dtype = dtype, .row_stride = matrix.column_stride, .readers = readers})
            .transposed());
    return;
  }
  page.rows = rows;
  page.columns = columns;
  page.row_stride = columns;
  window.set(pe.dma_view(page, DmaDescriptor{.base = base,
                                             .dtype = dtype,
                                             .row_stride = matrix.row_stride,
                                             .column_stride = matrix.column_stride,
                                             .readers = readers}));
}

struct TilePlace {
  int64_t row;
  int64_t rows;
  int64_t column;
  int64_t columns;
  int64_t first;  // batch indices
  int64_t second;
  uint32_t sharers;  // PEs beside this one that take the same columns of b at the same time, and it
};

class Gemm {
 public:
  Gemm(ProcessingElement& pe, const GemmArguments& arguments, const GemmTiling& tiling)
      : pe_(pe),
        arguments_(arguments),
        shape_(shape_of(arguments)),
        tiling_(tiling),
        sum_dtype_(arguments_.dtype == DType::F64 ? DType::F64 : DType::F32),
        down_(divide_up(arguments_.m, tiling_.rows)),
        across_(divide_up(arguments_.n, tiling_.columns)),
        stores_early_(result_is_apart(arguments_, shape_.has_addend)),
        a_pages_(pe, arguments_.dtype, tiling_.rows, tiling_.depth, tiling_.pages),
        b_pages_(pe, arguments_.dtype, tiling_.depth, tiling_.columns, tiling_.pages) {
    for (uint32_t i = 0; i < tiling_.accumulators; ++i)
      sums_[i] = pe.allocate(sum_dtype_, tiling_.rows, tiling_.columns);
    if (arguments_.c_dtype != sum_dtype_) {
      for (Tile& result : results_)
        result = pe.allocate(arguments_.c_dtype, std::min(gemm_store_rows, tiling_.rows), tiling_.columns);
    }
    if (shape_.has_addend) {
      addend_ = pe.allocate(arguments_.addend_dtype, tiling_.rows, tiling_.columns);
      wide_addend_ =
          arguments_.addend_dtype == sum_dtype_ ? addend_ : pe.allocate(sum_dtype_, tiling_.rows, tiling_.columns);
    }
  }

  // Loads run ahead of the products by all pages but one, over the ends of tiles too: the fabric interface works in
  // order, so that a load behind the store of a tile would wait for the tile.
  void run() {
    const bool has_product = arguments_.k > 0 && arguments_.alpha != 0;
    const int64_t steps = has_product ? divide_up(arguments_.k, tiling_.depth) : 0;
    const int64_t tiles = own_tiles();
    if (pe_.shares_work() && is_done_elsewhere(tiles, has_product)) return;
    int64_t loaded = 0;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const TilePlace place = place_of(tile);
      Tile sum = corner(sums_[tile % tiling_.accumulators], place.rows, place.columns);
      if (arguments_.c_dtype == sum_dtype_) sum = early(place, 0, sum);
      if (!has_product) pe_.fill(sum, 0.0);
      // Tiles beside each other read the same rows of a, those below each other the same columns of b.
      emulator::DotChain chain(pe_, sum, arguments_.n, down_ > 1);
      for (int64_t step = 0; step < steps && step * tiling_.depth < depth_of(place); ++step) {
        const int64_t last = std::min(tile * steps + step + tiling_.pages, tiles * steps);
        for (; loaded < last; ++loaded) load(place_of(loaded / steps), loaded % steps * tiling_.depth);
        const CircularBuffer::Front a = a_pages_.front();
        const CircularBuffer::Front b = b_pages_.front();
        chain.add(a.tile(), b.tile());
      }
      chain.finish();
      finish(place, sum);
    }
  }

 private:
  // PEs do the same whose tiles are as large, one after the other, and lie equally aligned.
  bool is_done_elsewhere(int64_t tiles, bool has_product) {
    struct Operand {
      const GemmMatrix& matrix;
      DType dtype;
      bool is_used;
    };
    const Operand operands[] = {{arguments_.a, arguments_.dtype, has_product},
                                {arguments_.b, arguments_.dtype, has_product},
                                {arguments_.c, arguments_.c_dtype, true},
                                {arguments_.addend, arguments_.addend_dtype, shape_.has_addend}};
    const uint64_t alignment = pe_.chip().fabric_alignment_bytes;
    std::vector<int64_t> calls;
    std::vector<AddressRange> touched;
    for (int64_t tile = 0; tile < tiles; ++tile) {
      const TilePlace place = place_of(tile);
      const int64_t depth = depth_of(place);
      calls.insert(calls.end(), {place.rows, place.columns, place.sharers, depth});
      const int64_t rows[] = {place.rows, depth, place.rows, place.rows};
      const int64_t columns[] = {depth, place.columns, place.columns, place.columns};
      for (size_t i = 0; i < std::size(operands); ++i) {
        const Operand& operand = operands[i];
        if (!operand.is_used) continue;
        GemmMatrix block = operand.matrix;
        block.base = address_of(block, operand.dtype, i == 1 ? 0 : place.row, i == 0 ? 0 : place.column, place.first,
                                place.second);
        block.batch_stride[0] = block.batch_stride[1] = 0;
        calls.push_back(static_cast<int64_t>(block.base % alignment));
        const Reach reach = reach_of(arguments_, block, operand.dtype, rows[i], columns[i]);
        touched.push_back({reach.low, reach.high});
      }
    }
    return pe_.is_done_elsewhere(std::move(calls), touched);
  }

  static Tile corner(const Tile& tile, int64_t rows, int64_t columns) { return tile.slice(0, rows, 0, columns); }

  // Tiles of the result are dealt to the PEs in turn.
  int64_t own_tiles() const {
    const int64_t tiles = down_ * across_ * shape_.batches;
    return tiles <= pe_.index() ? 0 : divide_up(tiles - pe_.index(), pe_.count());
  }

  TilePlace place_of(int64_t own) const {
    const int64_t tile = pe_.index() + own * pe_.count();
    const int64_t batch = tile / (down_ * across_);
    const int64_t row = tile % down_ * tiling_.rows;
    const int64_t column = tile / down_ % across_ * tiling_.columns;
    return {row,
            std::min(tiling_.rows, arguments_.m - row),
            column,
            std::min(tiling_.columns, arguments_.n - column),
            batch / arguments_.batch[1],
            batch % arguments_.batch[1],
            sharers_of(tile)};
  }

  // Tiles below each other go to neighbouring PEs: a group of them that works side by side reads b once.
  uint32_t sharers_of(int64_t tile) const {
    const auto group = static_cast<int64_t>(pe_.chip().fabric_multicast_pes);
    const int64_t first = tile / group * group;
    const int64_t last = first + group - 1;
    const bool is_whole = last < down_ * across_ * shape_.batches && first / down_ == last / down_ &&
                          first / pe_.count() == last / pe_.count();
    return is_whole ? static_cast<uint32_t>(group) : 1;
  }

  int64_t depth_of(const TilePlace& place) const {
    if (arguments_.k_of_parts == 0) return arguments_.k;
    return std::min(arguments_.k, arguments_.k_of_parts - place.second * arguments_.k);
  }

  void load(const TilePlace& place, int64_t p) {
    const int64_t depth = std::min(tiling_.depth, depth_of(place) - p);
    if (depth <= 0) return;
    load_operand(pe_, a_pages_, arguments_.a, arguments_.dtype, place.row, place.rows, p, depth, place.first,
                 place.second, 1);
    load_operand(pe_, b_pages_, arguments_.b, arguments_.dtype, p, depth, place.column, place.columns, place.first,
                 place.second, place.sharers);
  }

  void finish(const TilePlace& place, const Tile& sum) {
    if (arguments_.alpha != 1) pe_.vector(Opcode::mul_f, sum, sum, arguments_.alpha);
    if (shape_.has_addend) add_addend(place, sum);
    if (arguments_.c_dtype == sum_dtype_) return store(place, 0, sum);
    for (int64_t row = 0; row < place.rows; row += gemm_store_rows) {
      const int64_t rows = std::min(gemm_store_rows, place.rows - row);
      const Tile result = early(place, row, corner(results_[row / gemm_store_rows % 2], rows, place.columns));
      pe_.convert(result, sum.slice(row, rows, 0, place.columns));
      store(place, row, result);
    }
  }

  DmaDescriptor result_at(const TilePlace& place, int64_t row) const {
    return {
        .base = address_of(arguments_.c, arguments_.c_dtype, place.row + row, place.column, place.first, place.second),
        .dtype = arguments_.c_dtype,
        .row_stride = arguments_.c.row_stride};
  }

  // The place of a part of c, from a row of its tile on, until store(): c itself rather than local memory, if nobody
  // can tell.
  Tile early(const TilePlace& place, int64_t row, const Tile& tile) const {
    return stores_early_ ? pe_.store_view(tile, result_at(place, row)) : tile;
  }

  void store(const TilePlace& place, int64_t row, const Tile& tile) { pe_.dma_store(result_at(place, row), tile); }

  // A bias is loaded once for all rows (or columns) of the tile.
  void add_addend(const TilePlace& place, const Tile& sum) {
    const GemmMatrix& matrix = arguments_.addend;
    const int64_t rows = matrix.row_stride == 0 ? 1 : place.rows;
    const int64_t columns = matrix.column_stride == 0 ? 1 : place.columns;
    Tile loaded = addend_;
    loaded.rows = rows;
    loaded.columns = columns;
    loaded.row_stride = columns;
    pe_.dma_load(loaded, DmaDescriptor{.base = address_of(matrix, arguments_.addend_dtype, place.row, place.column,
                                                          place.first, place.second),
                                       .dtype = arguments_.addend_dtype,
                                       .row_stride = matrix.row_stride,
                                       .column_stride = matrix.column_stride});
    Tile wide = loaded;
    if (arguments_.addend_dtype != sum_dtype_) {
      wide = wide_addend_;
      wide.rows = rows;
      wide.columns = columns;
      wide.row_stride = columns;
      pe_.convert(wide, loaded);
    }
    if (arguments_.beta != 1) pe_.vector(Opcode::mul_f, wide, wide, arguments_.beta);
    pe_.vector(Opcode::add_f, sum, sum, wide);
  }

  ProcessingElement& pe_;
  GemmArguments arguments_;
  GemmShape shape_;
  GemmTiling tiling_;
  DType sum_dtype_;
  int64_t down_;    // tiles of the result along m
  int64_t across_;  // and along n
  bool stores_early_;
  CircularBuffer a_pages_;
  CircularBuffer b_pages_;
  Tile sums_[2];
  Tile results_[2];
  Tile addend_;
  Tile wide_addend_;
};

void gemm(ProcessingElement& pe, const GemmArguments& given) {
  const GemmArguments arguments = with_adjacent_columns(given);
  const GemmTiling& tiling = tiling_for(pe, shape_of(arguments));
  // Small products leave most PEs idle.
  if (tiles_of(arguments, tiling) > pe.index()) Gemm(pe, arguments, tiling).run();
}

MTIA_CPP_KERNEL("gemm", gemm, GemmArguments);

}  // namespace

}  // namespace mtia::kernels
