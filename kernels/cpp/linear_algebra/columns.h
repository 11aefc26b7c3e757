// A matrix of device memory as columns in the local memory of one PE: all of them where they fit, else those used last.
// What a kernel does with them is computed on the host at once and charged to the units that would do it.
#pragma once

#include <algorithm>
#include <cstdint>
#include <vector>

#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/processing_element.h"
#include "kernels/cpp/linear_algebra/numbers.h"

namespace mtia::kernels {

// The chip time of what a kernel computes on columns: one operation after the other, each on all that came before.
class ColumnWork {
 public:
  ColumnWork(emulator::ProcessingElement& pe, Number number)
      : pe_(pe), dtype_(part_of(number)), parts_(is_complex(number) ? 4 : 1), chain_(pe.allocate(dtype_, 1, 1)) {}

  // False: the host leaves out the arithmetic, and only time counts.
  bool computes() const { return pe_.state().host_work != emulator::HostWork::none; }

  // In timing mode: numbers that were read are not known, and stood in for by zeros.
  bool is_unknown() const { return pe_.state().timed.uses_stand_ins; }

  // `times` independent operations of the vector core on n numbers each: y += alpha x, ...
  void vector(int64_t n, int64_t times = 1, Opcode opcode = Opcode::fma_f) {
    if (n <= 0 || times <= 0) return;
    emulator::Tick tick;
    const auto elements = static_cast<uint64_t>(n * parts_);
    pe_.state().costs->elementwise(tick, opcode, dtype_, elements, 3 * elements * size_of(dtype_));
    issue(tick, times);
  }

  // `times` inner products of n numbers.
  void inner(int64_t n, int64_t times = 1) {
    if (n <= 0 || times <= 0) return;
    vector(n, times, Opcode::mul_f);
    emulator::Tick tick;
    const auto elements = static_cast<uint64_t>(n * parts_);
    pe_.state().costs->reduction(tick, dtype_, elements, elements * size_of(dtype_));
    issue(tick, times);
  }

  // Instructions of the scalar core, for which it waits for what came before.
  void scalar(uint64_t instructions) {
    pe_.state().issuing->wait_until(page().ready);
    pe_.scalar_work(instructions);
  }

  // What follows works on what `tile` was loaded with, and a store of it waits for what was computed.
  void joins(const emulator::Tile& tile) { page().ready = std::max(page().ready, of(tile).ready); }
  void leaves(const emulator::Tile& tile) { of(tile).ready = std::max(of(tile).ready, page().ready); }

  emulator::ProcessingElement& pe() { return pe_; }

 private:
  emulator::PageTime& of(const emulator::Tile& tile) { return pe_.state().pages[tile.page]; }
  emulator::PageTime& page() { return of(chain_); }

  void issue(emulator::Tick& tick, int64_t times) {
    const auto count = static_cast<uint64_t>(times);
    tick.duration *= count;
    tick.femtojoules *= count;
    tick.flops *= count;
    tick.local_bytes *= count;
    emulator::time_call(pe_.state(), tick, tick.duration, tick.latency, chain_.page, {chain_.page});
  }

  emulator::ProcessingElement& pe_;
  DType dtype_;
  int64_t parts_;
  emulator::Tile chain_;
};

// A tile of numbers T: `rows` of them a column, columns behind each other.
template <typename T>
emulator::Tile allocate_columns(emulator::ProcessingElement& pe, int64_t rows, int64_t columns) {
  return pe.allocate(element_dtype<T>, columns, rows * elements_of<T>);
}

// Columns [column, column + tile.rows) of a matrix, from row `row` on.
template <typename T>
emulator::DmaDescriptor columns_at(const Matrices& matrices, int64_t batch, int64_t row, int64_t column) {
  const int64_t place = batch * matrices.batch_stride + column * matrices.column_stride + row;
  return {.base = matrices.base + static_cast<uint64_t>(place) * sizeof(T),
          .dtype = element_dtype<T>,
          .row_stride = matrices.column_stride * elements_of<T>};
}

// How many columns of so many rows take up to so many bytes.
template <typename T>
int64_t columns_within(uint64_t bytes, int64_t rows) {
  return static_cast<int64_t>(bytes / (static_cast<uint64_t>(std::max<int64_t>(rows, 1)) * sizeof(T)));
}

// A part of a matrix that is in local memory as a whole: rows [row, row + rows) of columns [column, column + columns).
template <typename T>
class Block {
 public:
  Block(ColumnWork& work, const Matrices& matrices, int64_t batch, int64_t row, int64_t rows, int64_t column,
        int64_t columns)
      : work_(work),
        place_(columns_at<T>(matrices, batch, row, column)),
        tile_(allocate_columns<T>(work.pe(), rows, columns)),
        rows_(rows) {
    if (tile_.elements() == 0) return;
    work_.pe().dma_load(tile_, place_);
    work_.joins(tile_);
  }

  T* operator[](int64_t column) { return tile_.as<T>() + column * rows_; }
  const T* operator[](int64_t column) const { return tile_.as<T>() + column * rows_; }

  void store() {
    if (tile_.elements() == 0) return;
    work_.leaves(tile_);
    work_.pe().dma_store(place_, tile_);
  }

 private:
  ColumnWork& work_;
  emulator::DmaDescriptor place_;
  emulator::Tile tile_;
  int64_t rows_;
};

// All of a matrix, column by column: those used last are in local memory, at least four of them. A pointer to a column
// holds until three others were asked for.
template <typename T>
class Columns {
 public:
  // Takes up to `budget` bytes of local memory. The first `filled` columns hold something; others are only written.
  Columns(ColumnWork& work, const Matrices& matrices, int64_t batch, uint64_t budget, int64_t filled)
      : work_(work),
        matrices_(matrices),
        batch_(batch),
        filled_(filled),
        slots_(slots_within(matrices, budget)),
        tile_(allocate_columns<T>(work.pe(), matrices.rows, slots_)),
        holds_whole_(slots_ == matrices.columns) {
    if (!holds_whole_) {
      slot_of_.assign(static_cast<size_t>(matrices.columns), -1);
      column_in_.assign(static_cast<size_t>(slots_), -1);
      is_dirty_.assign(static_cast<size_t>(slots_), false);
      used_.assign(static_cast<size_t>(slots_), 0);
    } else if (filled > 0 && tile_.elements() != 0) {
      work_.pe().dma_load(tile_.slice(0, filled, 0, tile_.columns), columns_at<T>(matrices_, batch_, 0, 0));
      work_.joins(tile_);
    }
  }

  // Bytes that hold all columns, with what the tile's alignment takes.
  static uint64_t bytes(const Matrices& matrices) {
    return static_cast<uint64_t>(matrices.rows * matrices.columns) * sizeof(T) + 64;
  }

  const T* read(int64_t column) { return column_pointer(column, false); }
  T* write(int64_t column) { return column_pointer(column, true); }

  // Everything that was written, to device memory.
  void store() {
    if (holds_whole_) {
      if (tile_.elements() == 0) return;
      work_.leaves(tile_);
      work_.pe().dma_store(columns_at<T>(matrices_, batch_, 0, 0), tile_);
      return;
    }
    for (int64_t slot = 0; slot < slots_; ++slot) write_back(slot);
  }

 private:
  static int64_t slots_within(const Matrices& matrices, uint64_t budget) {
    constexpr int64_t fewest = 4;
    const int64_t fitting = columns_within<T>(budget > 64 ? budget - 64 : 0, matrices.rows);
    return std::min(matrices.columns, std::max(fitting, fewest));
  }

  T* column_pointer(int64_t column, bool writes) {
    if (holds_whole_) return tile_.as<T>() + column * matrices_.rows;
    int64_t slot = slot_of_[static_cast<size_t>(column)];
    if (slot < 0) slot = bring_in(column);
    used_[static_cast<size_t>(slot)] = ++clock_;
    if (writes) is_dirty_[static_cast<size_t>(slot)] = true;
    return tile_.as<T>() + slot * matrices_.rows;
  }

  int64_t bring_in(int64_t column) {
    const auto oldest = std::min_element(used_.begin(), used_.end()) - used_.begin();
    write_back(oldest);
    int64_t& held = column_in_[static_cast<size_t>(oldest)];
    if (held >= 0) slot_of_[static_cast<size_t>(held)] = -1;
    held = column;
    slot_of_[static_cast<size_t>(column)] = oldest;
    const emulator::Tile tile = tile_.slice(oldest, 1, 0, tile_.columns);
    if (column < filled_ || was_written(column)) {
      work_.pe().dma_load(tile, columns_at<T>(matrices_, batch_, 0, column));
      work_.joins(tile);
    }
    return oldest;
  }

  void write_back(int64_t slot) {
    if (!is_dirty_[static_cast<size_t>(slot)]) return;
    const int64_t column = column_in_[static_cast<size_t>(slot)];
    work_.leaves(tile_);
    work_.pe().dma_store(columns_at<T>(matrices_, batch_, 0, column), tile_.slice(slot, 1, 0, tile_.columns));
    is_dirty_[static_cast<size_t>(slot)] = false;
    if (column >= filled_) {
      if (written_.empty()) written_.assign(static_cast<size_t>(matrices_.columns), false);
      written_[static_cast<size_t>(column)] = true;
    }
  }

  bool was_written(int64_t column) const { return !written_.empty() && written_[static_cast<size_t>(column)]; }

  ColumnWork& work_;
  Matrices matrices_;
  int64_t batch_;
  int64_t filled_;
  int64_t slots_;
  emulator::Tile tile_;
  bool holds_whole_;
  std::vector<int64_t> slot_of_;
  std::vector<int64_t> column_in_;
  std::vector<bool> is_dirty_;
  std::vector<bool> written_;
  std::vector<uint64_t> used_;
  uint64_t clock_ = 0;
};

// A vector of results of one matrix (pivots, singular values), written as a whole.
template <typename V>
class ResultVector {
 public:
  ResultVector(ColumnWork& work, const Vectors& vectors, int64_t batch)
      : work_(work),
        place_{.base = vectors.base + static_cast<uint64_t>(batch * vectors.batch_stride) * sizeof(V),
               .dtype = element_dtype<V>},
        tile_(work.pe().allocate(element_dtype<V>, 1, vectors.length * elements_of<V>)) {}

  V& operator[](int64_t i) { return tile_.as<V>()[i]; }

  void load() {
    if (tile_.elements() == 0) return;
    work_.pe().dma_load(tile_, place_);
    work_.joins(tile_);
  }
  void store() {
    if (tile_.elements() == 0) return;
    work_.leaves(tile_);
    work_.pe().dma_store(place_, tile_);
  }

 private:
  ColumnWork& work_;
  emulator::DmaDescriptor place_;
  emulator::Tile tile_;
};

// The number that tells what went wrong with matrix `batch`; 0: nothing.
inline void store_info(ColumnWork& work, uint64_t base, int64_t batch, int32_t info) {
  ResultVector<int32_t> result(work, {.base = base, .length = 1, .batch_stride = 1}, batch);
  result[0] = info;
  result.store();
}

}  // namespace mtia::kernels
