// Pages, views and the checks of handles.
#include "emulator/tile_kernels/local_memory.h"

#include <algorithm>

#include "base/error.h"
#include "emulator/pe/memory_layout_unit/strided_copy.h"
#include "emulator/pe/pe_state.h"
#include "emulator/pe/tile_bytes.h"
#include "emulator/tile_kernels/role.h"

namespace mtia::emulator {
namespace {

// Whether all elements of a handle are among a page's, which are few enough that nothing overflows behind the first
// tests.
bool lies_inside(const mtia_tile& handle, int64_t elements) {
  const auto is_among = [elements](int64_t value) { return value >= 0 && value <= elements; };
  if (!is_among(handle.rows) || !is_among(handle.columns) || !is_among(handle.offset) || !is_among(handle.row_stride) ||
      !is_among(handle.column_stride))
    return false;
  if (handle.rows == 0 || handle.columns == 0) return true;
  return handle.offset + (handle.rows - 1) * handle.row_stride + (handle.columns - 1) * handle.column_stride < elements;
}

}  // namespace

void LocalMemory::begin(PeState& state, std::byte* arena, TileChecks* checks) {
  state_ = &state;
  checks_ = checks;
  state.local = arena;
  state.local_used = 0;
  state.pages.clear();
  state.page_floor = 0;
  pages_.clear();
  views_ = 0;
}

uint32_t LocalMemory::allocate(DType dtype, int64_t rows, int64_t columns) {
  if (rows <= 0 || columns <= 0)
    throw InvalidArgument(concat("a tile of ", rows, " x ", columns, " elements"), "", "extents are positive");
  const uint64_t capacity = state_->chip->local_memory_bytes;
  const WideBytes wanted = tile_bytes(dtype, rows, columns);
  if (wanted > capacity - state_->local_used) {
    throw OutOfLocalMemory(concat("a tile of ", rows, " x ", columns, " ", name_of(dtype), " needs ", decimal(wanted),
                                  " bytes of local memory, ", capacity - state_->local_used, " of the ", capacity,
                                  " of a PE of ", state_->chip->name, " are free"),
                           "", "use smaller tiles or fewer pages, and allocate outside of loops");
  }
  const auto bytes = static_cast<uint64_t>(wanted);
  Page page;
  page.data = state_->local + state_->local_used;
  page.dtype = dtype;
  page.rows = rows;
  page.columns = columns;
  state_->local_used += bytes;
  pages_.push_back(page);
  state_->pages.push_back({});
  const auto number = static_cast<uint32_t>(pages_.size() - 1);
  if (checks_ != nullptr) checks_->allocated(*state_->role, number, rows, columns);
  return number;
}

mtia_tile LocalMemory::handle_of(uint32_t number) const {
  const Page& page = pages_[number];
  return {number, page.generation, 0, page.rows, page.columns, page.columns, 1, static_cast<uint8_t>(page.dtype)};
}

LocalMemory::Page& LocalMemory::checked(const mtia_tile& handle) {
  if (handle.page >= pages_.size())
    throw InvalidArgument(concat("a tile of page ", handle.page, " of ", pages_.size()), "",
                          "use a tile on the PE that allocated it, in the launch that did");
  Page& page = pages_[handle.page];
  if (page.generation != handle.generation)
    throw Undefined("a tile of a circular buffer is used after its window ended", "",
                    "keep the window as long as its tile is used");
  if (!lies_inside(handle, page.rows * page.columns))
    throw OutOfBounds(concat("a tile of ", handle.rows, " x ", handle.columns, " elements from element ", handle.offset,
                             " on, in a page of ", page.rows, " x ", page.columns),
                      "", "stay within the extents that were allocated");
  return page;
}

Tile LocalMemory::in_local_memory(const Page& page, const mtia_tile& handle) const {
  Tile tile;
  tile.data = page.data + handle.offset * static_cast<int64_t>(size_of(page.dtype));
  tile.dtype = page.dtype;
  tile.page = handle.page;
  tile.rows = handle.rows;
  tile.columns = handle.columns;
  tile.row_stride = handle.row_stride;
  tile.column_stride = handle.column_stride;
  return tile;
}

Tile LocalMemory::source(const mtia_tile& handle, bool any_strides, bool* viewed) {
  if (checks_ != nullptr) check_read(handle, handle.rows, handle.columns);
  return resolve(handle, any_strides, viewed);
}

Tile LocalMemory::stored(const mtia_tile& handle, int64_t rows, int64_t columns) {
  if (checks_ != nullptr) check_read(handle, std::min(rows, handle.rows), std::min(columns, handle.columns));
  return resolve(handle, true, nullptr);
}

void LocalMemory::check_read(const mtia_tile& handle, int64_t rows, int64_t columns) {
  checked(handle);
  if (rows <= 0 || columns <= 0) return;
  mtia_tile part = handle;
  part.rows = rows;
  part.columns = columns;
  checks_->read(*state_->role, part);
}

Tile LocalMemory::resolve(const mtia_tile& handle, bool any_strides, bool* viewed) {
  Page& page = checked(handle);
  if (page.view != nullptr) {
    const bool natural = handle.row_stride == page.columns && handle.column_stride == 1;
    const bool flipped = handle.column_stride == page.columns && handle.row_stride == 1;
    if (natural || flipped) {
      Tile tile = in_local_memory(page, handle);
      tile.row_stride = natural ? page.view_row_stride : page.view_column_stride;
      tile.column_stride = natural ? page.view_column_stride : page.view_row_stride;
      if (any_strides || tile.column_stride == 1) {
        const int64_t row = handle.offset / page.columns;
        const int64_t column = handle.offset % page.columns;
        const int64_t elements = row * page.view_row_stride + column * page.view_column_stride;
        tile.data = const_cast<std::byte*>(page.view) + elements * static_cast<int64_t>(size_of(page.dtype));
        if (viewed != nullptr) *viewed = true;
        return tile;
      }
    }
    copy_view(page);
  }
  if (!any_strides && handle.column_stride != 1 && handle.columns != 1)
    throw InvalidArgument(concat("a tile with column stride ", handle.column_stride), "", "transpose it first");
  return in_local_memory(page, handle);
}

Tile LocalMemory::destination(const mtia_tile& handle, bool overwrites) {
  Page& page = checked(handle);
  if (checks_ != nullptr) checks_->write(*state_->role, handle, overwrites);
  if (page.view != nullptr) {
    if (overwrites && is_whole_page(handle)) {
      page.view = nullptr;
      --views_;
    } else {
      copy_view(page);
    }
  }
  return in_local_memory(page, handle);
}

bool LocalMemory::is_whole_page(const mtia_tile& handle) const {
  const Page& page = pages_[handle.page];
  return handle.offset == 0 && handle.rows == page.rows && handle.columns == page.columns &&
         handle.row_stride == page.columns && handle.column_stride == 1;
}

void LocalMemory::make_view(const mtia_tile& handle, const Tile& view, uint64_t low, uint64_t high) {
  Page& page = pages_[handle.page];
  if (page.view == nullptr) ++views_;
  page.view = view.data;
  page.view_row_stride = view.row_stride;
  page.view_column_stride = view.column_stride;
  page.low = low;
  page.high = high;
}

void LocalMemory::copy_view(Page& page) {
  const auto size = static_cast<int64_t>(size_of(page.dtype));
  StridedBox box;
  box.rank = 2;
  box.extent = {page.rows, page.columns};
  box.to_stride = {page.columns * size, size};
  box.from_stride = {page.view_row_stride * size, page.view_column_stride * size};
  if (state_->host_work != HostWork::none) copy_box(box, page.data, page.view, size_of(page.dtype));
  page.view = nullptr;
  --views_;
}

void LocalMemory::before_store(uint64_t low, uint64_t high) {
  if (views_ == 0) return;
  for (Page& page : pages_) {
    if (page.view != nullptr && page.low < high && low < page.high) copy_view(page);
  }
}

}  // namespace mtia::emulator
