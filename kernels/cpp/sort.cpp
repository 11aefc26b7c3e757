// The C++ kernel "sort": runs of rows, each sorted in the local memory of one PE by a stable radix sort of keys.
#include "kernels/cpp/sort.h"

#include <algorithm>
#include <array>
#include <bit>
#include <cstring>
#include <numeric>
#include <utility>

#include "chip/chip_spec.h"
#include "emulator/pe/processing_element.h"
#include "kernels/cpp/sort_keys.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tile;

constexpr uint32_t select_bits = 12;
constexpr int64_t histogram_bytes = 4 << select_bits;

// Source, two buffers of keys and the values; two of positions, indices of source and result.
int64_t local_bytes_an_element(DType dtype) { return 4 * static_cast<int64_t>(size_of(dtype)) + 2 * 4 + 2 * 8; }

// Elements with their positions, and room for as many.
template <typename Word>
struct Pairs {
  Word* key;
  uint32_t* position;
  Word* other_key;
  uint32_t* other_position;

  void swap() {
    std::swap(key, other_key);
    std::swap(position, other_position);
  }
};

template <typename Word>
void insertion_sort(const Pairs<Word>& pairs, int64_t count) {
  for (int64_t i = 1; i < count; ++i) {
    const Word key = pairs.key[i];
    const uint32_t position = pairs.position[i];
    int64_t j = i;
    for (; j > 0 && pairs.key[j - 1] > key; --j) {
      pairs.key[j] = pairs.key[j - 1];
      pairs.position[j] = pairs.position[j - 1];
    }
    pairs.key[j] = key;
    pairs.position[j] = position;
  }
}

template <typename Word>
void radix_sort(Pairs<Word>& pairs, int64_t count) {
  std::array<uint32_t, 256> places;
  for (uint32_t shift = 0; shift < 8 * sizeof(Word); shift += 8) {
    places.fill(0);
    for (int64_t i = 0; i < count; ++i) ++places[static_cast<uint8_t>(pairs.key[i] >> shift)];
    if (places[static_cast<uint8_t>(pairs.key[0] >> shift)] == count) continue;  // all have this digit
    uint32_t place = 0;
    for (uint32_t& entry : places) place += std::exchange(entry, place);
    for (int64_t i = 0; i < count; ++i) {
      const uint32_t to = places[static_cast<uint8_t>(pairs.key[i] >> shift)]++;
      pairs.other_key[to] = pairs.key[i];
      pairs.other_position[to] = pairs.position[i];
    }
    pairs.swap();
  }
}

// Drops elements that are not among the first `kept`: those whose leading bits, of the bits in which keys differ, are
// beyond the ones that the `kept`-th has. Returns how many are left, in their order.
template <typename Word>
int64_t select_candidates(const Pairs<Word>& pairs, int64_t count, int64_t kept, uint32_t* histogram) {
  Word differing = 0;
  for (int64_t i = 0; i < count; ++i) differing |= static_cast<Word>(pairs.key[i] ^ pairs.key[0]);
  const auto width = static_cast<uint32_t>(std::bit_width(differing));
  const uint32_t shift = width > select_bits ? width - select_bits : 0;
  constexpr uint32_t mask = (1U << select_bits) - 1;
  const auto bucket = [shift](Word key) { return static_cast<uint32_t>(key >> shift) & mask; };
  std::fill(histogram, histogram + mask + 1, 0U);
  for (int64_t i = 0; i < count; ++i) ++histogram[bucket(pairs.key[i])];
  uint32_t last = 0;
  int64_t before = 0;
  for (; before + histogram[last] < kept; ++last) before += histogram[last];
  // A bucket of equal keys gives no more than are needed.
  int64_t wanted_of_last = shift == 0 ? kept - before : count;
  int64_t left = 0;
  for (int64_t i = 0; i < count; ++i) {
    const uint32_t number = bucket(pairs.key[i]);
    const bool is_wanted = number < last || (number == last && wanted_of_last-- > 0);
    pairs.key[left] = pairs.key[i];
    pairs.position[left] = pairs.position[i];
    left += is_wanted ? 1 : 0;
  }
  return left;
}

// Drops elements that cannot be among the first `kept`, from keys whose positions are their places. As many groups of
// elements as have a least key up to a bound have an element each up to it: the kept-th of the groups' least keys is
// one. Returns how many are left, in their order, with their positions.
template <typename Word>
int64_t drop_far_ones(const Pairs<Word>& pairs, int64_t count, int64_t kept) {
  const int64_t groups =
      std::min<int64_t>(static_cast<int64_t>(std::bit_ceil(static_cast<uint64_t>(4 * kept))), count / 2);
  Word* least = pairs.other_key;
  std::copy_n(pairs.key, groups, least);
  for (int64_t first = groups; first < count; first += groups) {
    const int64_t width = std::min(groups, count - first);
    const Word* key = pairs.key + first;
    for (int64_t i = 0; i < width; ++i) least[i] = std::min(least[i], key[i]);
  }
  std::nth_element(least, least + kept - 1, least + groups);
  const Word bound = least[kept - 1];
  int64_t left = 0;
  for (int64_t i = 0; i < count; ++i) {
    const Word key = pairs.key[i];
    pairs.key[left] = key;
    pairs.position[left] = static_cast<uint32_t>(i);
    left += key <= bound ? 1 : 0;
  }
  return left;
}

// The first `kept` positions in order are left in pairs.position. Returns the scalar core's instructions: a key, and
// for what is sorted log2(count) compare-and-moves of a merge sort and a gather an element; selecting takes a count and
// a move an element.
template <typename Word>
uint64_t sort_pairs(Pairs<Word>& pairs, int64_t count, int64_t kept, uint32_t* histogram) {
  constexpr int64_t short_row = 48;
  uint64_t work = static_cast<uint64_t>(count);
  int64_t sorted = count;
  if (count > short_row && kept <= count / 4) {
    sorted = drop_far_ones(pairs, count, kept);
    if (sorted > short_row && kept <= sorted / 4) sorted = select_candidates(pairs, sorted, kept, histogram);
    work += 4 * static_cast<uint64_t>(count);
  } else {
    std::iota(pairs.position, pairs.position + count, 0U);
  }
  if (sorted <= short_row) {
    insertion_sort(pairs, sorted);
  } else {
    radix_sort(pairs, sorted);
  }
  return work + static_cast<uint64_t>(sorted) * (1 + std::bit_width(static_cast<uint64_t>(sorted)));
}

template <typename Word>
class RunSorter {
 public:
  RunSorter(ProcessingElement& pe, const SortArguments& arguments)
      : pe_(pe),
        arguments_(arguments),
        results_(arguments.runs.cut(arguments.kept)),
        key_of_(arguments.dtype, arguments.is_unsigned, arguments.descending) {}

  void sort_all() {
    const RunLayout& runs = arguments_.runs;
    const int64_t rows_a_block = runs.count() > 1 ? 1 : block_rows();
    const int64_t blocks = (arguments_.rows + rows_a_block - 1) / rows_a_block * runs.count();
    for (int64_t block = pe_.index(); block < blocks; block += pe_.count()) {
      const int64_t row = block / runs.count() * rows_a_block;
      sort_block(row, std::min(rows_a_block, arguments_.rows - row), block % runs.count());
    }
  }

 private:
  // Short rows share their DMA.
  int64_t block_rows() const {
    const int64_t share = (arguments_.rows + pe_.count() - 1) / pe_.count();
    return std::clamp<int64_t>(longest_sort_run(pe_.chip(), arguments_.dtype) / arguments_.runs.length, 1, share);
  }

  // Run `run` of rows [row, row + rows).
  void sort_block(int64_t row, int64_t rows, int64_t run) {
    const LocalScope scope(pe_);
    const int64_t begin = run * arguments_.runs.run;
    const int64_t count = arguments_.runs.width(run);
    const int64_t kept = std::min(arguments_.kept, count);
    const int64_t first = row * arguments_.row_stride + begin;
    const Tile source = load(arguments_.source, arguments_.dtype, first, rows, count);
    const Tile source_indices =
        arguments_.source_indices != 0 ? load(arguments_.source_indices, DType::I64, first, rows, count) : Tile{};
    const Tile keys = pe_.allocate(arguments_.dtype, 2, count);
    const Tile positions = pe_.allocate(DType::I32, 2, count);
    const Tile histogram = pe_.allocate(DType::I32, 1, 1 << select_bits);
    const Tile values = pe_.allocate(arguments_.dtype, rows, kept);
    const Tile indices = pe_.allocate(DType::I64, rows, kept);
    uint64_t work = 0;
    for (int64_t i = 0; i < rows; ++i) {
      const Word* from = source.as<Word>() + i * count;
      Pairs<Word> pairs{keys.as<Word>(), positions.as<uint32_t>(), keys.as<Word>() + count,
                        positions.as<uint32_t>() + count};
      for (int64_t j = 0; j < count; ++j) pairs.key[j] = key_of_(from[j]);
      work += sort_pairs(pairs, count, kept, histogram.as<uint32_t>());
      const int64_t* names = source_indices.data != nullptr ? source_indices.as<int64_t>() + i * count : nullptr;
      Word* value = values.as<Word>() + i * kept;
      int64_t* index = indices.as<int64_t>() + i * kept;
      for (int64_t j = 0; j < kept; ++j) {
        value[j] = from[pairs.position[j]];
        index[j] = names != nullptr ? names[pairs.position[j]] : begin + pairs.position[j];
      }
    }
    pe_.scalar_work(work);
    const int64_t place = row * results_.length + run * results_.run;
    store(arguments_.values, place, values);
    store(arguments_.indices, place, indices);
  }

  Tile load(uint64_t base, DType dtype, int64_t first, int64_t rows, int64_t columns) {
    const Tile tile = pe_.allocate(dtype, rows, columns);
    pe_.dma_load(tile, {.base = base + static_cast<uint64_t>(first) * size_of(dtype),
                        .dtype = dtype,
                        .row_stride = arguments_.row_stride});
    pe_.read(tile, 0, 0);  // the scalar core waits
    return tile;
  }

  void store(uint64_t base, int64_t place, const Tile& tile) {
    pe_.dma_store({.base = base + static_cast<uint64_t>(place) * size_of(tile.dtype),
                   .dtype = tile.dtype,
                   .row_stride = results_.length},
                  tile);
  }

  ProcessingElement& pe_;
  const SortArguments& arguments_;
  RunLayout results_;
  KeyOf<Word> key_of_;
};

void sort(ProcessingElement& pe, const SortArguments& arguments) {
  with_word(arguments.dtype, [&](auto word) { RunSorter<decltype(word)>(pe, arguments).sort_all(); });
}

MTIA_CPP_KERNEL("sort", sort, SortArguments);

}  // namespace

int64_t longest_sort_run(const ChipSpec& chip, DType dtype) {
  constexpr int64_t alignment = 8 * 64;
  return (static_cast<int64_t>(chip.local_memory_bytes) - histogram_bytes - alignment) / local_bytes_an_element(dtype);
}

}  // namespace mtia::kernels
