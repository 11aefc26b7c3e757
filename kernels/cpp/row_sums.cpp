// The C++ kernel "row_sums": each PE owns neighbouring rows of the table and sums them in local memory, as many columns
// at a time as fit; it reads all indices, and of the source its own rows, by indexed DMA.
#include "kernels/cpp/row_sums.h"

#include <algorithm>
#include <array>
#include <vector>

#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/processing_element.h"
#include "kernels/cpp/share.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tick;
using emulator::Tile;

constexpr int64_t index_block = 1024;
constexpr int64_t rows_a_gather = 16;
constexpr int64_t zero_rows = 8;

class RowAdder {
 public:
  RowAdder(ProcessingElement& pe, const RowSumsArguments& arguments)
      : pe_(pe), arguments_(arguments), sum_dtype_(arguments.dtype == DType::F64 ? DType::F64 : DType::F32) {}

  void add_all() {
    const auto [first, end] = share_of(pe_, arguments_.rows);
    if (first == end) return;
    const int64_t block = std::min(index_block, arguments_.count);
    indices_ = pe_.allocate(arguments_.index_dtype, 1, block);
    if (arguments_.source_rows != 0) source_rows_ = pe_.allocate(arguments_.index_dtype, 1, block);
    if (arguments_.factors != 0) factors_ = pe_.allocate(sum_dtype_, 1, block);
    positions_ = pe_.allocate(DType::I64, 1, rows_a_gather);
    const auto sum_bytes = static_cast<int64_t>(size_of(sum_dtype_));
    const auto bytes = static_cast<int64_t>(size_of(arguments_.dtype));
    const bool is_narrow = sum_dtype_ != arguments_.dtype;
    // A column in the sums, in their rounded copy, and in the rows that are added.
    const int64_t row_bytes = sum_bytes + (is_narrow ? bytes : 0);
    const int64_t added_bytes = rows_a_gather * (bytes + (is_narrow ? sum_bytes : 0)) + zero_rows * bytes;
    const int64_t room = static_cast<int64_t>(pe_.local_bytes_free()) - 1024;
    const int64_t wanted_columns = std::min<int64_t>(arguments_.length, 256);
    const int64_t rows = std::clamp<int64_t>((room / wanted_columns - added_bytes) / row_bytes, 1, end - first);
    const int64_t columns = std::clamp<int64_t>(room / (rows * row_bytes + added_bytes), 1, arguments_.length);
    for (int64_t row = first; row < end; row += rows) {
      for (int64_t column = 0; column < arguments_.length; column += columns)
        add(row, std::min(rows, end - row), column, std::min(columns, arguments_.length - column));
    }
  }

 private:
  void add(int64_t row, int64_t rows, int64_t column, int64_t columns) {
    const LocalScope scope(pe_);
    const Tile sums = pe_.allocate(sum_dtype_, rows, columns);
    const Tile added = pe_.allocate(arguments_.dtype, rows_a_gather, columns);
    const bool is_narrow = sum_dtype_ != arguments_.dtype;
    const Tile widened = is_narrow ? pe_.allocate(sum_dtype_, rows_a_gather, columns) : added;
    const Tile zeros = pe_.allocate(arguments_.dtype, std::min(zero_rows, rows), columns);
    pe_.fill(zeros, 0.0);
    std::vector<bool> is_summed(static_cast<size_t>(rows));  // the others are zero
    std::array<int64_t, rows_a_gather> targets;
    std::array<double, rows_a_gather> factors;
    int64_t waiting = 0;
    const auto flush = [&] {
      if (waiting == 0) return;
      const Tile positions = positions_.slice(0, 1, 0, waiting);
      const Tile rows_added = added.slice(0, waiting, 0, columns);
      pe_.gather(rows_added, arguments_.source + static_cast<uint64_t>(column) * size_of(arguments_.dtype),
                 arguments_.source_row, positions,
                 arguments_.source_rows != 0 ? arguments_.source_count : arguments_.count);
      if (is_narrow) pe_.convert(widened.slice(0, waiting, 0, columns), rows_added);
      for (int64_t i = 0; i < waiting; ++i) {
        const int64_t target = targets[static_cast<size_t>(i)];
        const Tile sum = sums.slice(target, 1, 0, columns);
        if (!is_summed[static_cast<size_t>(target)]) pe_.fill(sum, 0.0);
        is_summed[static_cast<size_t>(target)] = true;
        const Tile row_added = widened.slice(i, 1, 0, columns);
        if (arguments_.factors != 0) pe_.vector(Opcode::mul_f, row_added, row_added, factors[static_cast<size_t>(i)]);
        pe_.vector(Opcode::add_f, sum, sum, row_added);
      }
      waiting = 0;
    };
    if (column == 0) matches_.clear();
    size_t next = 0;
    for (int64_t first = 0; first < arguments_.count; first += index_block) {
      const int64_t count = std::min(index_block, arguments_.count - first);
      const Tile indices = load_indices(first, count);
      if (arguments_.source_rows != 0) load(source_rows_.slice(0, 1, 0, count), arguments_.source_rows, first);
      if (arguments_.factors != 0) load(factors_.slice(0, 1, 0, count), arguments_.factors, first);
      if (column == 0) find_matches(indices, first, row, rows);
      for (; next < matches_.size() && matches_[next].place < first + count; ++next) {
        const Match& match = matches_[next];
        targets[static_cast<size_t>(waiting)] = match.target;
        positions_.as<int64_t>()[waiting] = match.source;
        if (arguments_.factors != 0) factors[static_cast<size_t>(waiting)] = pe_.read(factors_, 0, match.place - first);
        if (++waiting == rows_a_gather) flush();
      }
    }
    flush();
    const Tile rounded = is_narrow ? pe_.allocate(arguments_.dtype, rows, columns) : sums;
    for (int64_t i = 0; i < rows;) {
      const bool summed = is_summed[static_cast<size_t>(i)];
      const int64_t most = summed ? rows : std::min(rows, i + zeros.rows);
      int64_t end = i + 1;
      while (end < most && is_summed[static_cast<size_t>(end)] == summed) ++end;
      const Tile results = summed ? rounded.slice(i, end - i, 0, columns) : zeros.slice(0, end - i, 0, columns);
      if (summed && is_narrow) pe_.convert(results, sums.slice(i, end - i, 0, columns));
      store(results, row + i, column);
      i = end;
    }
  }

  // Which of the indices from the `first` on are these rows': the host looks once, whatever the number of columns'
  // parts.
  void find_matches(const Tile& indices, int64_t first, int64_t row, int64_t rows) {
    for (int64_t i = 0; i < indices.columns; ++i) {
      const int64_t index = index_at(indices, i);
      if (index < row || index >= row + rows || index == arguments_.skipped) continue;
      const int64_t source = arguments_.source_rows != 0 ? index_at(source_rows_, i) : first + i;
      if (source >= 0) matches_.push_back({first + i, index - row, source});
    }
  }

  void store(const Tile& results, int64_t row, int64_t column) {
    const auto place = static_cast<uint64_t>(row * arguments_.length + column);
    pe_.dma_store({.base = arguments_.table + place * size_of(arguments_.dtype),
                   .dtype = arguments_.dtype,
                   .row_stride = arguments_.length},
                  results);
  }

  void load(const Tile& tile, uint64_t base, int64_t first) {
    pe_.dma_load(tile, {.base = base + static_cast<uint64_t>(first) * size_of(tile.dtype), .dtype = tile.dtype});
  }

  // Two comparisons of each with the rows' bounds find those that belong here.
  Tile load_indices(int64_t first, int64_t count) {
    const Tile tile = indices_.slice(0, 1, 0, count);
    load(tile, arguments_.indices, first);
    Tick tick;
    const auto elements = static_cast<uint64_t>(2 * count);
    pe_.state().costs->elementwise(tick, Opcode::compare_i, tile.dtype, elements, elements * size_of(tile.dtype));
    time_call(pe_.state(), tick, tick.duration, tick.latency, positions_.page, {tile.page});
    return tile;
  }

  static int64_t index_at(const Tile& indices, int64_t i) {
    return indices.dtype == DType::I32 ? indices.as<int32_t>()[i] : indices.as<int64_t>()[i];
  }

  struct Match {
    int64_t place;   // of the index
    int64_t target;  // among the rows that are summed
    int64_t source;
  };

  ProcessingElement& pe_;
  const RowSumsArguments& arguments_;
  std::vector<Match> matches_;  // of the rows that are summed
  DType sum_dtype_;
  Tile indices_;
  Tile source_rows_;
  Tile factors_;
  Tile positions_;
};

void row_sums(ProcessingElement& pe, const RowSumsArguments& arguments) { RowAdder(pe, arguments).add_all(); }

MTIA_CPP_KERNEL("row_sums", row_sums, RowSumsArguments);

}  // namespace
}  // namespace mtia::kernels
