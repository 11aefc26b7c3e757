// The C++ kernel "search": a binary search for each value, in local memory where the row fits and enough values ask for
// it, else by indexed DMA of the elements that all values of a block compare with next.
//
// The halving is torch's, step by step, so that rows out of order give what torch gives; in a row that is in order any
// halving does. Comparisons are those of
// unsigned keys: a NaN of the row is before every value, as no comparison with it holds, and a NaN value behind all.
#include "kernels/cpp/search.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>

#include "emulator/pe/processing_element.h"
#include "kernels/cpp/share.h"
#include "kernels/cpp/sort_keys.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tile;

constexpr int64_t lanes = 16;  // searches whose loads the host overlaps
constexpr int64_t longest_block = 2048;

DType dtype_of(SearchResult result) {
  if (result == SearchResult::is_found) return DType::I1;
  return result == SearchResult::place32 ? DType::I32 : DType::I64;
}

template <typename Word>
class Searcher {
 public:
  Searcher(ProcessingElement& pe, const SearchArguments& arguments)
      : pe_(pe),
        arguments_(arguments),
        finds_(arguments.result == SearchResult::is_found),
        key_of_(arguments.dtype, arguments.is_unsigned, /*descending=*/false),
        steps_(std::bit_width(static_cast<uint64_t>(arguments.length))) {}

  void search_all() {
    const int64_t total = arguments_.rows * arguments_.row_values;
    auto [place, end] = share_of(pe_, total);
    while (place < end) {
      const int64_t row = arguments_.has_one_row ? 0 : place / arguments_.row_values;
      const int64_t row_end = arguments_.has_one_row ? end : std::min(end, (row + 1) * arguments_.row_values);
      search_row(row, place, row_end);
      place = row_end;
    }
  }

 private:
  // Values [place, end), which all ask for one row.
  void search_row(int64_t row, int64_t place, int64_t end) {
    const LocalScope scope(pe_);
    const uint64_t base = arguments_.sorted + static_cast<uint64_t>(row * arguments_.length) * sizeof(Word);
    const int64_t block = std::min(longest_block, end - place);
    const auto block_bytes = static_cast<uint64_t>(block) * (2 * sizeof(Word) + 16) + 512;
    const auto row_bytes = static_cast<uint64_t>(arguments_.length) * sizeof(Word);
    const bool pays = arguments_.length <= 4096 || arguments_.length <= 32 * (end - place);
    const bool is_local = pays && row_bytes + block_bytes <= pe_.local_bytes_free();
    const Word* keys = is_local ? load_keys(base) : nullptr;
    const bool is_sorted = is_local && std::is_sorted(keys, keys + arguments_.length);
    for (; place < end; place += block) {
      const LocalScope block_scope(pe_);
      const int64_t count = std::min(block, end - place);
      const Tile values = load(arguments_.values, place, count);
      const Tile results = pe_.allocate(dtype_of(arguments_.result), 1, count);
      is_local ? search_local(keys, is_sorted, values, results) : search_in_device_memory(base, values, results);
      pe_.scalar_work(static_cast<uint64_t>(count) * static_cast<uint64_t>(2 + 3 * steps_));
      pe_.dma_store(
          {.base = arguments_.results + static_cast<uint64_t>(place) * size_of(results.dtype), .dtype = results.dtype},
          results);
    }
  }

  Tile load(uint64_t base, int64_t first, int64_t count) {
    const Tile tile = pe_.allocate(arguments_.dtype, 1, count);
    if (count == 0) return tile;
    pe_.dma_load(tile, {.base = base + static_cast<uint64_t>(first) * sizeof(Word), .dtype = arguments_.dtype});
    pe_.read(tile, 0, 0);  // the scalar core waits
    return tile;
  }

  Word row_key(Word bits) const {
    const Word key = key_of_(bits);
    return !finds_ && is_float(arguments_.dtype) && key == largest ? Word{0} : key;
  }

  const Word* load_keys(uint64_t base) {
    const Tile row = load(base, 0, arguments_.length);
    Word* keys = row.as<Word>();
    for (int64_t i = 0; i < arguments_.length; ++i) keys[i] = row_key(keys[i]);
    pe_.scalar_work(static_cast<uint64_t>(arguments_.length));
    return keys;
  }

  bool goes_right(Word element, Word value) const { return arguments_.upper ? element <= value : element < value; }

  void put(const Tile& results, int64_t i, int64_t place, Word element, Word value) const {
    switch (arguments_.result) {
      case SearchResult::place64:
        results.as<int64_t>()[i] = place;
        return;
      case SearchResult::place32:
        results.as<int32_t>()[i] = static_cast<int32_t>(place);
        return;
      case SearchResult::is_found: {
        const bool is_nan = is_float(arguments_.dtype) && value == largest;
        const bool found = place < arguments_.length && element == value && !is_nan;
        results.as<uint8_t>()[i] = found != arguments_.invert ? 1 : 0;
        return;
      }
    }
  }

  // Without a branch that depends on data: all lanes make all steps, those at their end none.
  template <bool upper>
  void search_lanes(const Word* keys, const Word* values, int64_t count, const Tile& results, int64_t first) const {
    const int64_t last = arguments_.length - 1;
    std::array<Word, lanes> value{};
    std::array<int64_t, lanes> start{};
    std::array<int64_t, lanes> left;
    left.fill(arguments_.length);
    for (int64_t lane = 0; lane < count; ++lane) value[static_cast<size_t>(lane)] = key_of_(values[lane]);
    for (int64_t step = 0; step < steps_; ++step) {
      for (size_t lane = 0; lane < lanes; ++lane) {
        const int64_t half = left[lane] >> 1;
        const int64_t middle = start[lane] + half;
        const Word element = keys[std::min(middle, last)];
        const bool right = (upper ? element <= value[lane] : element < value[lane]) & (left[lane] > 0);
        start[lane] = right ? middle + 1 : start[lane];
        left[lane] = right ? left[lane] - half - 1 : half;
      }
    }
    for (int64_t lane = 0; lane < count; ++lane) {
      const int64_t place = start[static_cast<size_t>(lane)];
      put(results, first + lane, place, last < 0 ? Word{0} : keys[std::min(place, last)],
          value[static_cast<size_t>(lane)]);
    }
  }

  // In a sorted row every halving ends at the same place: here at the same time for all lanes.
  template <bool upper>
  void search_sorted_lanes(const Word* keys, const Word* values, int64_t count, const Tile& results,
                           int64_t first) const {
    std::array<Word, lanes> value{};
    std::array<const Word*, lanes> at;
    at.fill(keys);
    for (int64_t lane = 0; lane < count; ++lane) value[static_cast<size_t>(lane)] = key_of_(values[lane]);
    for (int64_t left = arguments_.length; left > 1;) {
      const int64_t half = left / 2;
      for (size_t lane = 0; lane < lanes; ++lane) {
        const Word element = at[lane][half - 1];
        at[lane] += (upper ? element <= value[lane] : element < value[lane]) ? half : 0;
      }
      left -= half;
    }
    for (int64_t lane = 0; lane < count; ++lane) {
      const auto i = static_cast<size_t>(lane);
      const int64_t place = at[i] - keys + ((upper ? *at[i] <= value[i] : *at[i] < value[i]) ? 1 : 0);
      put(results, first + lane, place, keys[std::min(place, arguments_.length - 1)], value[i]);
    }
  }

  void search_local(const Word* keys, bool is_sorted, const Tile& values, const Tile& results) const {
    const bool halves_at_once = is_sorted && arguments_.length > 0;
    for (int64_t i = 0; i < values.columns; i += lanes) {
      const int64_t count = std::min(lanes, values.columns - i);
      const Word* value = values.as<Word>() + i;
      if (halves_at_once) {
        arguments_.upper ? search_sorted_lanes<true>(keys, value, count, results, i)
                         : search_sorted_lanes<false>(keys, value, count, results, i);
      } else {
        arguments_.upper ? search_lanes<true>(keys, value, count, results, i)
                         : search_lanes<false>(keys, value, count, results, i);
      }
    }
  }

  void search_in_device_memory(uint64_t base, const Tile& values, const Tile& results) {
    const int64_t count = values.columns;
    const Tile places = pe_.allocate(DType::I64, count, 1);
    const Tile elements = pe_.allocate(arguments_.dtype, count, 1);
    std::array<int64_t, longest_block> start{};
    std::array<int64_t, longest_block> left;
    left.fill(arguments_.length);
    const auto fetch = [&](const auto& place_of) {
      for (int64_t i = 0; i < count; ++i)
        places.as<int64_t>()[i] = std::min(place_of(static_cast<size_t>(i)), arguments_.length - 1);
      pe_.gather(elements, base, 1, places, arguments_.length);
      pe_.read(elements, 0, 0);
    };
    for (int64_t step = 0; step < steps_; ++step) {
      fetch([&](size_t i) { return start[i] + (left[i] >> 1); });
      for (int64_t lane = 0; lane < count; ++lane) {
        const auto i = static_cast<size_t>(lane);
        const int64_t half = left[i] >> 1;
        const Word element = row_key(elements.as<Word>()[lane]);
        const bool right = goes_right(element, key_of_(values.as<Word>()[lane])) & (left[i] > 0);
        start[i] = right ? start[i] + half + 1 : start[i];
        left[i] = right ? left[i] - half - 1 : half;
      }
    }
    if (finds_ && arguments_.length > 0) fetch([&](size_t i) { return start[i]; });
    for (int64_t lane = 0; lane < count; ++lane) {
      const Word element = finds_ && arguments_.length > 0 ? row_key(elements.as<Word>()[lane]) : Word{0};
      put(results, lane, start[static_cast<size_t>(lane)], element, key_of_(values.as<Word>()[lane]));
    }
  }

  static constexpr Word largest = static_cast<Word>(~Word{0});

  ProcessingElement& pe_;
  const SearchArguments& arguments_;
  bool finds_;
  KeyOf<Word> key_of_;
  int64_t steps_;
};

void search(ProcessingElement& pe, const SearchArguments& arguments) {
  with_word(arguments.dtype, [&](auto word) { Searcher<decltype(word)>(pe, arguments).search_all(); });
}

MTIA_CPP_KERNEL("search", search, SearchArguments);

}  // namespace
}  // namespace mtia::kernels
