// Bits of pages.
#include "emulator/tile_kernels/local_shadow.h"

#include <algorithm>

namespace mtia::emulator {
namespace {

// Calls body(first element, count) for each row of adjacent elements of a tile, or for each element.
template <typename Body>
void for_runs(const mtia_tile& tile, const Body& body) {
  const bool along_rows = tile.column_stride == 1 || tile.columns == 1;
  const bool along_columns = !along_rows && tile.row_stride == 1;
  const int64_t outer = along_columns ? tile.columns : tile.rows;
  const int64_t inner = along_columns ? tile.rows : tile.columns;
  const int64_t outer_stride = along_columns ? tile.column_stride : tile.row_stride;
  for (int64_t i = 0; i < outer; ++i) {
    const int64_t first = tile.offset + i * outer_stride;
    if (along_rows || along_columns) {
      if (!body(first, inner, i, int64_t{0}, along_columns)) return;
      continue;
    }
    for (int64_t j = 0; j < inner; ++j) {
      if (!body(first + j * tile.column_stride, int64_t{1}, i, j, false)) return;
    }
  }
}

}  // namespace

void LocalShadow::allocate(uint32_t page, int64_t rows, int64_t columns, mtia_line line) {
  if (pages_.size() <= page) pages_.resize(page + 1);
  pages_[page] = {};
  pages_[page].written.assign(static_cast<size_t>((rows * columns + 63) / 64), 0);
  pages_[page].line = line;
}

void LocalShadow::renew(uint32_t page) {
  pages_[page].is_ring = true;
  std::fill(pages_[page].written.begin(), pages_[page].written.end(), 0);
}

void LocalShadow::write(const mtia_tile& tile) {
  std::vector<uint64_t>& written = pages_[tile.page].written;
  for_runs(tile, [&](int64_t first, int64_t count, int64_t, int64_t, bool) {
    for (int64_t at = first; at < first + count;) {
      const int64_t in_word = std::min<int64_t>(64 - at % 64, first + count - at);
      const uint64_t ones = in_word == 64 ? ~uint64_t{0} : (uint64_t{1} << in_word) - 1;
      written[static_cast<size_t>(at / 64)] |= ones << (at % 64);
      at += in_word;
    }
    return true;
  });
}

std::optional<std::pair<int64_t, int64_t>> LocalShadow::unwritten(const mtia_tile& tile) const {
  const std::vector<uint64_t>& written = pages_[tile.page].written;
  std::optional<std::pair<int64_t, int64_t>> found;
  for_runs(tile, [&](int64_t first, int64_t count, int64_t outer, int64_t inner, bool flipped) {
    for (int64_t at = first; at < first + count;) {
      const int64_t in_word = std::min<int64_t>(64 - at % 64, first + count - at);
      const uint64_t ones = in_word == 64 ? ~uint64_t{0} : (uint64_t{1} << in_word) - 1;
      const uint64_t missing = ~(written[static_cast<size_t>(at / 64)] >> (at % 64)) & ones;
      if (missing != 0) {
        const int64_t place = inner + at - first + __builtin_ctzll(missing);
        found = flipped ? std::pair(place, outer) : std::pair(outer, place);
        return false;
      }
      at += in_word;
    }
    return true;
  });
  return found;
}

LocalShadow::LocalShadow() {
  for (uint32_t role = 0; role < most_roles; ++role) clocks_[role][role] = 1;
}

void LocalShadow::release(uint32_t role, uint32_t page) {
  pages_[page].clock = clocks_[role];
  ++clocks_[role][role];
}

void LocalShadow::acquire(uint32_t role, uint32_t page) {
  for (uint32_t i = 0; i < most_roles; ++i) clocks_[role][i] = std::max(clocks_[role][i], pages_[page].clock[i]);
}

std::optional<LocalShadow::Conflict> LocalShadow::use(const mtia_tile& tile, uint32_t role, mtia_line line,
                                                      bool writes) {
  Page& page = pages_[tile.page];
  if (page.is_ring) return std::nullopt;
  const AdjacentRows elements =
      AdjacentRows::of(tile.offset, 1, tile.rows, tile.columns, tile.row_stride, tile.column_stride);
  const Use now{role, writes, clocks_[role][role], line, elements};
  Use* same = nullptr;
  for (Use& before : page.uses) {
    if (before.role == role) {
      if (before.writes == writes && before.elements == elements) same = &before;
      continue;
    }
    if ((!before.writes && !writes) || before.time <= clocks_[role][before.role]) continue;
    const auto element = overlap(elements, before.elements);
    if (!element) continue;
    const int64_t distance = *element - tile.offset;
    const bool by_rows = tile.row_stride >= tile.column_stride;
    const int64_t wide = std::max<int64_t>(by_rows ? tile.row_stride : tile.column_stride, 1);
    const int64_t narrow = std::max<int64_t>(by_rows ? tile.column_stride : tile.row_stride, 1);
    const std::pair place(distance / wide, distance % wide / narrow);
    return Conflict{before, by_rows ? place : std::pair(place.second, place.first)};
  }
  if (same != nullptr) {
    *same = now;
  } else if (page.uses.size() < most_uses) {
    page.uses.push_back(now);
  } else {
    page.uses[page.next_use++ % most_uses] = now;
  }
  return std::nullopt;
}

}  // namespace mtia::emulator
