// The C++ kernel "merge_runs": each PE makes an equal part of the results. Where its part begins in the two runs of a
// pair is found on the merge path (Green, McColl, Bader 2012) by probes that are loaded at once.
#include <algorithm>
#include <cstring>

#include "emulator/pe/processing_element.h"
#include "kernels/cpp/share.h"
#include "kernels/cpp/sort.h"
#include "kernels/cpp/sort_keys.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tile;

constexpr int64_t probes = 64;
constexpr int64_t longest_block = 4096;

// Two neighbouring runs, as elements from the source's base.
struct RunPair {
  int64_t a;
  int64_t a_width;
  int64_t b;
  int64_t b_width;  // 0: an odd run at the row's end
};

// The next elements of a run, in local memory.
struct LoadedRun {
  Tile values;
  Tile indices;
  int64_t width;
};

template <typename Word>
class RunMerger {
 public:
  RunMerger(ProcessingElement& pe, const MergeArguments& arguments)
      : pe_(pe),
        arguments_(arguments),
        results_(arguments.runs.merged(arguments.kept)),
        key_of_(arguments.dtype, arguments.is_unsigned, arguments.descending) {}

  void merge_all() {
    const int64_t total = arguments_.rows * results_.length;
    auto [place, end] = share_of(pe_, total);
    while (place < end) {
      const int64_t row = place / results_.length, column = place % results_.length;
      const int64_t pair = column / results_.run, diagonal = column % results_.run;
      const int64_t count = std::min(end - place, results_.width(pair) - diagonal);
      merge(pair_of(row, pair), diagonal, place, count);
      place += count;
    }
  }

 private:
  RunPair pair_of(int64_t row, int64_t pair) const {
    const RunLayout& runs = arguments_.runs;
    const int64_t a = 2 * pair;
    const int64_t base = row * runs.length + a * runs.run;
    return {base, runs.width(a), base + runs.run, a + 1 < runs.count() ? runs.width(a + 1) : 0};
  }

  // Results [diagonal, diagonal + count) of the pair, to be stored from `place` on.
  void merge(const RunPair& pair, int64_t diagonal, int64_t place, int64_t count) {
    int64_t from_a = pair.b_width == 0 ? diagonal : split(pair, diagonal);
    int64_t from_b = diagonal - from_a;
    const int64_t block = std::min(longest_block, static_cast<int64_t>(pe_.local_bytes_free() - alignment) /
                                                      static_cast<int64_t>(3 * sizeof(Word) + 3 * 8));
    while (count > 0) {
      const LocalScope scope(pe_);
      const int64_t size = std::min(block, count);
      const LoadedRun a = load(pair.a + from_a, std::min(size, pair.a_width - from_a));
      const LoadedRun b = load(pair.b + from_b, std::min(size, pair.b_width - from_b));
      const Tile values = pe_.allocate(arguments_.dtype, 1, size);
      const Tile indices = pe_.allocate(DType::I64, 1, size);
      const int64_t taken = merge_block(a, b, values.as<Word>(), indices.as<int64_t>(), size);
      store(arguments_.values, place, values);
      store(arguments_.indices, place, indices);
      from_a += taken;
      from_b += size - taken;
      place += size;
      count -= size;
    }
  }

  LoadedRun load(int64_t first, int64_t width) {
    const LoadedRun run{load_values(first, width, 1), pe_.allocate(DType::I64, 1, width), width};
    if (width == 0) return run;
    pe_.dma_load(run.indices,
                 {.base = arguments_.source_indices + static_cast<uint64_t>(first) * 8, .dtype = DType::I64});
    return run;
  }

  Tile load_values(int64_t first, int64_t count, int64_t stride) {
    const Tile tile = pe_.allocate(arguments_.dtype, 1, count);
    if (count == 0) return tile;
    pe_.dma_load(tile, {.base = arguments_.source_values + static_cast<uint64_t>(first) * sizeof(Word),
                        .dtype = arguments_.dtype,
                        .column_stride = stride});
    return tile;
  }

  // The scalar core reads what was loaded.
  void wait_for(const Tile& tile) {
    if (tile.elements() > 0) pe_.read(tile, 0, 0);
  }

  void store(uint64_t base, int64_t place, const Tile& tile) {
    pe_.dma_store({.base = base + static_cast<uint64_t>(place) * size_of(tile.dtype), .dtype = tile.dtype}, tile);
  }

  // Writes `size` results and returns how many came from a. The work is a key and a compare-and-move a result.
  int64_t merge_block(const LoadedRun& a, const LoadedRun& b, Word* value, int64_t* index, int64_t size) {
    for (const Tile& tile : {a.values, a.indices, b.values, b.indices}) wait_for(tile);
    const Word* value_a = a.values.as<Word>();
    const Word* value_b = b.values.as<Word>();
    const int64_t* index_a = a.indices.as<int64_t>();
    const int64_t* index_b = b.indices.as<int64_t>();
    int64_t i = 0, j = 0;
    if (a.width > 0 && b.width > 0) {
      Word key_a = key_of_(value_a[0]), key_b = key_of_(value_b[0]);
      while (i + j < size) {
        const bool is_a = key_a <= key_b;
        value[i + j] = is_a ? value_a[i] : value_b[j];
        index[i + j] = is_a ? index_a[i] : index_b[j];
        if (is_a) {
          if (++i == a.width) break;
          key_a = key_of_(value_a[i]);
        } else {
          if (++j == b.width) break;
          key_b = key_of_(value_b[j]);
        }
      }
      pe_.scalar_work(2 * static_cast<uint64_t>(i + j));
    }
    const int64_t done = i + j;
    const bool rest_of_a = i < a.width && (b.width == 0 || j == b.width);
    const auto rest = static_cast<size_t>(size - done);
    if (rest > 0) {
      std::memcpy(value + done, rest_of_a ? value_a + i : value_b + j, rest * sizeof(Word));
      std::memcpy(index + done, rest_of_a ? index_a + i : index_b + j, rest * sizeof(int64_t));
      pe_.scalar_work(rest);
    }
    return rest_of_a ? i + static_cast<int64_t>(rest) : i;
  }

  // How many of the first `diagonal` results come from a: the least m with a[m] behind b[diagonal - 1 - m].
  int64_t split(const RunPair& pair, int64_t diagonal) {
    int64_t low = std::max<int64_t>(0, diagonal - pair.b_width), high = std::min(diagonal, pair.a_width);
    while (low < high) {
      const LocalScope scope(pe_);
      const int64_t step = (high - low + probes - 1) / probes;
      const int64_t count = (high - low + step - 1) / step;
      const int64_t last = low + (count - 1) * step;
      const Tile a = load_values(pair.a + low, count, step);
      const Tile b = load_values(pair.b + diagonal - 1 - last, count, step);  // of the last probe first
      wait_for(a);
      wait_for(b);
      int64_t behind = 0;
      while (behind < count && key_of_(a.as<Word>()[behind]) <= key_of_(b.as<Word>()[count - 1 - behind])) ++behind;
      pe_.scalar_work(4 * static_cast<uint64_t>(std::min(behind + 1, count)));
      if (behind < count) high = low + behind * step;
      if (behind > 0) low += (behind - 1) * step + 1;
    }
    return low;
  }

  static constexpr uint64_t alignment = uint64_t{6} * 64;

  ProcessingElement& pe_;
  const MergeArguments& arguments_;
  RunLayout results_;
  KeyOf<Word> key_of_;
};

void merge_runs(ProcessingElement& pe, const MergeArguments& arguments) {
  with_word(arguments.dtype, [&](auto word) { RunMerger<decltype(word)>(pe, arguments).merge_all(); });
}

MTIA_CPP_KERNEL("merge_runs", merge_runs, MergeArguments);

}  // namespace
}  // namespace mtia::kernels
