// The C++ kernels "strided_copy" and "strided_fill": matrices of at most a page, dealt to the PEs.
#include "kernels/cpp/strided_copy.h"

#include <algorithm>
#include <cstddef>
#include <utility>

#include "chip/chip_spec.h"
#include "emulator/pe/processing_element.h"
#include "kernels/cpp/strided_layout.h"

namespace mtia::kernels {

namespace {

using emulator::CircularBuffer;
using emulator::DmaDescriptor;
using emulator::ProcessingElement;
using emulator::Tile;

// Bytes of a page: long enough for full bandwidth, short enough that `pages` of them fit the PE and, where that
// suffices, the host's caches.
int64_t page_bytes(const ProcessingElement& pe, uint64_t pages) {
  const auto most = static_cast<uint64_t>(pe.chip().longer_blocks()) * 32 * 1024;
  return static_cast<int64_t>(std::min<uint64_t>(most, pe.local_bytes_free() / pages));
}

int64_t divide_up(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// A matrix of the copy: its place in both tensors.
struct Piece {
  int64_t destination;  // elements from the bases
  int64_t source;
  int64_t rows;
  int64_t columns;
};

int64_t piece_count(const StridedLayout& layout, int64_t page_rows, int64_t page_columns) {
  int64_t pieces =
      divide_up(layout[layout.rank() - 2].size, page_rows) * divide_up(layout[layout.rank() - 1].size, page_columns);
  for (uint32_t i = 0; i + 2 < layout.rank(); ++i) pieces *= layout[i].size;
  return pieces;
}

// Calls body(piece) for every piece of this PE. The last two dimensions are rows and columns.
template <typename Body>
void for_each_piece(const ProcessingElement& pe, const StridedLayout& layout, int64_t page_rows, int64_t page_columns,
                    const Body& body) {
  const StridedDimension& rows = layout[layout.rank() - 2];
  const StridedDimension& columns = layout[layout.rank() - 1];
  const int64_t down = divide_up(rows.size, page_rows);
  const int64_t across = divide_up(columns.size, page_columns);
  const int64_t pieces = piece_count(layout, page_rows, page_columns);
  for (int64_t number = pe.index(); number < pieces; number += pe.count()) {
    const int64_t row = number / across % down * page_rows;
    const int64_t column = number % across * page_columns;
    Piece piece{row * rows.destination + column * columns.destination, row * rows.source + column * columns.source,
                std::min(page_rows, rows.size - row), std::min(page_columns, columns.size - column)};
    int64_t rest = number / (across * down);
    for (uint32_t i = layout.rank() - 2; i-- > 0;) {
      piece.destination += rest % layout[i].size * layout[i].destination;
      piece.source += rest % layout[i].size * layout[i].source;
      rest /= layout[i].size;
    }
    body(piece);
  }
}

struct PageShape {
  int64_t rows;
  int64_t columns;
};

// Pages of at most `bytes`, and small enough that every PE gets work.
PageShape page_shape(const ProcessingElement& pe, const StridedLayout& layout, int64_t bytes, size_t element_size) {
  const int64_t rows = layout[layout.rank() - 2].size;
  const int64_t columns = layout[layout.rank() - 1].size;
  int64_t outer = 1;
  for (uint32_t i = 0; i + 2 < layout.rank(); ++i) outer *= layout[i].size;
  const int64_t share = divide_up(outer * rows * columns, static_cast<int64_t>(pe.count()));
  const int64_t elements = std::clamp(share, int64_t{256}, bytes / static_cast<int64_t>(element_size));
  const int64_t page_columns = std::min(columns, elements);
  return {std::min(rows, std::max<int64_t>(1, elements / page_columns)), page_columns};
}

// Numbers as torch converts them, in a few steps of the vector core.
class Conversion {
 public:
  Conversion(ProcessingElement& pe, const StridedCopySides& arguments, int64_t elements)
      : pe_(pe),
        from_(arguments.source_dtype),
        to_(arguments.destination_dtype),
        is_signed_(!arguments.source_is_unsigned && from_ != DType::I1) {
    const bool float_to_integer = is_float(from_) && is_integer(to_);
    // Any number but 0 is true; small integers are the low bits of a 32-bit one, uint32 is those of a 64-bit one.
    if (is_integer(from_) && from_ != DType::I1 && to_ == DType::I1) {
      middle_ = pe.allocate(DType::F32, 1, elements);
    } else if (float_to_integer && (to_ == DType::I8 || to_ == DType::I16)) {
      middle_ = pe.allocate(DType::I32, 1, elements);
    } else if (float_to_integer && to_ == DType::I32 && arguments.destination_is_unsigned) {
      middle_ = pe.allocate(DType::I64, 1, elements);
    } else if (float_to_integer && to_ == DType::I64 && arguments.destination_is_unsigned) {
      middle_ = pe.allocate(from_, 1, elements);
      negative_ = pe.allocate(DType::I64, 1, elements);
    }
  }

  bool needed() const { return from_ != to_; }

  void operator()(const Tile& destination, const Tile& source) const {
    if (negative_.data != nullptr) return to_uint64(destination, source);
    if (middle_.data == nullptr) return pe_.convert(destination, source, is_signed_);
    const Tile between = middle_.reshaped(source.rows, source.columns);
    pe_.convert(between, source, is_signed_ || is_float(from_));
    pe_.convert(destination, between, true);
  }

 private:
  // Twice the range of int64 above zero; below it the bits of int64.
  void to_uint64(const Tile& destination, const Tile& source) const {
    const Tile below_zero = middle_.reshaped(source.rows, source.columns);
    const Tile negative = negative_.reshaped(source.rows, source.columns);
    pe_.vector(Opcode::min_f, below_zero, source, 0.0);
    pe_.convert(negative, below_zero, true);
    pe_.convert(destination, source, false);
    pe_.vector(Opcode::add_i, destination, destination, negative);
  }

  ProcessingElement& pe_;
  DType from_;
  DType to_;
  bool is_signed_;
  Tile middle_;
  Tile negative_;
};

struct Addresses {
  const StridedCopySides& arguments;
  const StridedDimension& rows;
  const StridedDimension& columns;

  DmaDescriptor source(const Piece& piece) const {
    return {.base = arguments.source + static_cast<uint64_t>(piece.source) * size_of(arguments.source_dtype),
            .dtype = arguments.source_dtype,
            .row_stride = rows.source,
            .column_stride = columns.source};
  }
  DmaDescriptor destination(const Piece& piece) const {
    return {
        .base = arguments.destination + static_cast<uint64_t>(piece.destination) * size_of(arguments.destination_dtype),
        .dtype = arguments.destination_dtype,
        .row_stride = rows.destination,
        .column_stride = columns.destination};
  }
};

DmaDescriptor transposed(DmaDescriptor descriptor) {
  std::swap(descriptor.row_stride, descriptor.column_stride);
  return descriptor;
}

// Rows of both tensors run along the same dimension: load, convert, store.
void copy_straight(ProcessingElement& pe, const StridedCopySides& arguments, const StridedLayout& layout) {
  const size_t size = std::max(size_of(arguments.source_dtype), size_of(arguments.destination_dtype));
  const bool converts = arguments.source_dtype != arguments.destination_dtype;
  const PageShape page = page_shape(pe, layout, page_bytes(pe, converts ? 8 : 4), size);
  if (piece_count(layout, page.rows, page.columns) <= pe.index()) return;
  const int64_t elements = page.rows * page.columns;
  const Addresses addresses{arguments, layout[layout.rank() - 2], layout[layout.rank() - 1]};
  CircularBuffer loaded(pe, arguments.source_dtype, 1, elements, 2);
  const Conversion convert(pe, arguments, elements);
  if (!convert.needed()) {
    for_each_piece(pe, layout, page.rows, page.columns, [&](const Piece& piece) {
      {
        const CircularBuffer::Reserved window = loaded.reserve();
        pe.dma_load(window.tile().reshaped(piece.rows, piece.columns), addresses.source(piece));
      }
      const CircularBuffer::Front front = loaded.front();
      pe.dma_store(addresses.destination(piece), front.tile().reshaped(piece.rows, piece.columns));
    });
    return;
  }
  CircularBuffer converted(pe, arguments.destination_dtype, 1, elements, 2);
  for_each_piece(pe, layout, page.rows, page.columns, [&](const Piece& piece) {
    {
      CircularBuffer::Reserved window = loaded.reserve();
      const Tile tile = window.tile().reshaped(piece.rows, piece.columns);
      if (addresses.columns.source == 1) {
        window.set(pe.dma_view(tile, addresses.source(piece)));
      } else {  // the vector core reads adjacent elements only
        pe.dma_load(tile, addresses.source(piece));
        window.set(tile);
      }
    }
    {
      const CircularBuffer::Front source = loaded.front();
      const CircularBuffer::Reserved window = converted.reserve();
      convert(window.tile().reshaped(piece.rows, piece.columns), source.tile());
    }
    const CircularBuffer::Front result = converted.front();
    pe.dma_store(addresses.destination(piece), result.tile().reshaped(piece.rows, piece.columns));
  });
}

// The source's rows run along the destination's columns: load its rows, let the layout unit transpose, store the
// destination's rows.
void copy_transposed(ProcessingElement& pe, const StridedCopySides& arguments, const StridedLayout& layout) {
  const uint64_t between = arguments.destination_is_unsigned ? sizeof(int64_t) + sizeof(float) : sizeof(float);
  const uint64_t element = 4 * size_of(arguments.source_dtype) + size_of(arguments.destination_dtype) + between;
  int64_t edge = 64 * 64 * element <= pe.local_bytes_free() ? 64 : 32;
  for (int64_t area = pe.chip().longer_blocks(); area >= 4; area /= 4) edge *= 2;
  if (piece_count(layout, edge, edge) <= pe.index()) return;
  const Addresses addresses{arguments, layout[layout.rank() - 2], layout[layout.rank() - 1]};
  CircularBuffer loaded(pe, arguments.source_dtype, edge, edge, 2);
  CircularBuffer turned(pe, arguments.source_dtype, edge, edge, 2);
  const Conversion convert(pe, arguments, edge * edge);
  const Tile result = convert.needed() ? pe.allocate(arguments.destination_dtype, edge, edge) : Tile{};
  for_each_piece(pe, layout, edge, edge, [&](const Piece& piece) {
    {
      CircularBuffer::Reserved window = loaded.reserve();
      window.set(pe.dma_view(window.tile().reshaped(piece.columns, piece.rows), transposed(addresses.source(piece))));
    }
    {
      const CircularBuffer::Front source = loaded.front();
      const CircularBuffer::Reserved window = turned.reserve();
      pe.permute(window.tile().reshaped(piece.rows, piece.columns), source.tile());
    }
    const CircularBuffer::Front front = turned.front();
    const Tile tile = front.tile().reshaped(piece.rows, piece.columns);
    if (convert.needed()) {
      const Tile page = result.reshaped(piece.rows, piece.columns);
      convert(page, tile);
      pe.dma_store(addresses.destination(piece), page);
    } else {
      pe.dma_store(addresses.destination(piece), tile);
    }
  });
}

template <uint32_t rank_limit>
void copy_up_to(ProcessingElement& pe, const StridedCopyArgumentsUpTo<rank_limit>& arguments) {
  StridedLayout layout(arguments.rank, arguments.shape, arguments.destination_strides, arguments.source_strides);
  const uint32_t last = layout.rank() - 1;
  if (layout[last].source != 1 && layout[last].destination == 1) {
    for (uint32_t i = 0; i < last; ++i) {
      if (layout[i].source == 1 && layout[i].size >= 4 && layout[last].size >= 4) {
        layout.move(i, last - 1);
        return copy_transposed(pe, arguments, layout);
      }
    }
  }
  layout.move(layout.longest_before_last(), last - 1);
  copy_straight(pe, arguments, layout);
}

void strided_copy(ProcessingElement& pe, const StridedCopyArguments& arguments) { copy_up_to(pe, arguments); }
void strided_copy_wide(ProcessingElement& pe, const WideStridedCopyArguments& arguments) { copy_up_to(pe, arguments); }

void strided_fill(ProcessingElement& pe, const StridedFillArguments& arguments) {
  constexpr int64_t no_source[max_rank] = {};
  StridedLayout layout(arguments.rank, arguments.shape, arguments.strides, no_source);
  layout.move(layout.longest_before_last(), layout.rank() - 2);
  const StridedDimension& rows = layout[layout.rank() - 2];
  const StridedDimension& columns = layout[layout.rank() - 1];
  const PageShape page = page_shape(pe, layout, page_bytes(pe, 2), size_of(arguments.dtype));
  if (piece_count(layout, page.rows, page.columns) <= pe.index()) return;
  const Tile tile = pe.allocate(arguments.dtype, 1, page.rows * page.columns);
  pe.fill_bits(tile, arguments.bits);
  for_each_piece(pe, layout, page.rows, page.columns, [&](const Piece& piece) {
    pe.dma_store({.base = arguments.destination + static_cast<uint64_t>(piece.destination) * size_of(arguments.dtype),
                  .dtype = arguments.dtype,
                  .row_stride = rows.destination,
                  .column_stride = columns.destination},
                 tile.reshaped(piece.rows, piece.columns));
  });
}

MTIA_CPP_KERNEL("strided_copy", strided_copy, StridedCopyArguments);
MTIA_CPP_KERNEL("strided_copy_wide", strided_copy_wide, WideStridedCopyArguments);
MTIA_CPP_KERNEL("strided_fill", strided_fill, StridedFillArguments);

}  // namespace

}  // namespace mtia::kernels
