// The C++ kernels "count_flags" and "take_flagged": one pass over the flags to know the sizes, one to take.
//
// On the chip a block's places are a running sum of its flags, which the reduction engine makes, and the memory layout
// unit moves what is taken together; the emulator does both at once.
#include "kernels/cpp/compact.h"

#include <algorithm>
#include <cstring>

#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/processing_element.h"
#include "kernels/cpp/share.h"
#include "kernels/cpp/sort_keys.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tick;
using emulator::Tile;

constexpr int64_t longest_block = 8192;
constexpr int64_t line = 64;  // flags that only one PE reads

// A PE's flags, in whole lines.
Share part_of(const ProcessingElement& pe, int64_t count) {
  const auto [first, last] = share_of(pe, (count + line - 1) / line);
  return {std::min(count, first * line), std::min(count, last * line)};
}

// Loads blocks one after the other into two tiles, so that a load runs while the block before it is worked on.
class Blocks {
 public:
  Blocks(ProcessingElement& pe, DType dtype, int64_t columns) : pe_(pe) {
    for (Tile& tile : tiles_) tile = pe.allocate(dtype, 1, columns);
  }
  Tile load(uint64_t base, int64_t first, int64_t count) {
    const Tile& whole = tiles_[number_++ % 2];
    const Tile tile = whole.slice(0, 1, 0, count);
    pe_.dma_load(tile, {.base = base + static_cast<uint64_t>(first) * size_of(tile.dtype), .dtype = tile.dtype});
    return tile;
  }

 private:
  ProcessingElement& pe_;
  Tile tiles_[2];
  uint64_t number_ = 0;
};

int64_t count_set(const std::byte* flags, int64_t count) {
  int64_t set = 0;
  for (int64_t i = 0; i < count; ++i) set += flags[i] != std::byte{0} ? 1 : 0;
  return set;
}

void count_flags(ProcessingElement& pe, const CountFlagsArguments& arguments) {
  const Share part = part_of(pe, arguments.count);
  Blocks blocks(pe, DType::I1, std::min(longest_block, std::max<int64_t>(1, part.end - part.begin)));
  const Tile sums = pe.allocate(DType::I64, 1, 1);
  int64_t set = 0;
  for (int64_t first = part.begin; first < part.end; first += longest_block) {
    const Tile flags = blocks.load(arguments.flags, first, std::min(longest_block, part.end - first));
    set += count_set(flags.data, flags.columns);
    Tick tick;
    pe.state().costs->reduction(tick, DType::I8, static_cast<uint64_t>(flags.columns),
                                static_cast<uint64_t>(flags.columns));
    time_call(pe.state(), tick, tick.duration, tick.latency, sums.page, {flags.page});
  }
  *sums.as<int64_t>() = set;
  pe.dma_store({.base = arguments.counts + static_cast<uint64_t>(pe.index()) * 8, .dtype = DType::I64}, sums);
}

// Moves the flagged elements to the front of `to`; returns how many there are. `to` has room for one more.
template <typename Word>
int64_t take(Word* to, const Word* from, const std::byte* flags, int64_t count) {
  int64_t taken = 0;
  for (int64_t i = 0; i < count; ++i) {
    to[taken] = from[i];
    taken += flags[i] != std::byte{0} ? 1 : 0;
  }
  return taken;
}

class Taker {
 public:
  Taker(ProcessingElement& pe, const TakeFlaggedArguments& arguments)
      : pe_(pe), arguments_(arguments), width_(arguments.source != 0 ? 1 : arguments.rank) {}

  void take_all() {
    const Share part = part_of(pe_, arguments_.count);
    if (part.begin == part.end) return;
    const auto element = static_cast<int64_t>(size_of(arguments_.dtype));
    int64_t place = first_place();
    const int64_t each = 2 + (arguments_.source != 0 ? 3 * element : width_ * 8);
    const int64_t fits = (static_cast<int64_t>(pe_.local_bytes_free()) - 1024) / each / line * line;
    const int64_t block = std::clamp<int64_t>(fits, line, longest_block);
    Blocks flag_blocks(pe_, DType::I1, block);
    const bool takes_elements = arguments_.source != 0;
    Blocks value_blocks(pe_, arguments_.dtype, takes_elements ? block : 1);
    const Tile results = pe_.allocate(takes_elements ? arguments_.dtype : DType::I64, 1, (block + 1) * width_);
    if (!takes_elements) begin_at(part.begin);
    for (int64_t first = part.begin; first < part.end; first += block) {
      const int64_t count = std::min(block, part.end - first);
      const Tile flags = flag_blocks.load(arguments_.flags, first, count);
      const Tile values = takes_elements ? value_blocks.load(arguments_.source, first, count) : flags;
      const int64_t taken = takes_elements ? take_elements(results, values, flags) : take_positions(results, flags);
      account(results, values, flags, taken);
      if (taken == 0) continue;
      const Tile front = results.slice(0, 1, 0, taken * width_);
      pe_.dma_store({.base = arguments_.results + static_cast<uint64_t>(place * width_) * size_of(results.dtype),
                     .dtype = results.dtype},
                    front);
      place += taken;
    }
  }

 private:
  // Results of the PEs before this one.
  int64_t first_place() {
    const Tile counts = pe_.allocate(DType::I64, 1, pe_.count());
    pe_.dma_load(counts, {.base = arguments_.counts, .dtype = DType::I64});
    pe_.read(counts, 0, 0);
    int64_t place = 0;
    for (uint32_t i = 0; i < pe_.index(); ++i) place += counts.as<int64_t>()[i];
    pe_.scalar_work(pe_.index());
    return place;
  }

  int64_t take_elements(const Tile& results, const Tile& values, const Tile& flags) const {
    int64_t taken = 0;
    with_word(arguments_.dtype, [&](auto word) {
      using Word = decltype(word);
      taken = take(results.as<Word>(), values.as<Word>(), flags.data, flags.columns);
    });
    return taken;
  }

  void begin_at(int64_t linear) {
    for (auto d = static_cast<size_t>(arguments_.rank); d-- > 0;) {
      position_[d] = linear % arguments_.shape[d];
      linear /= arguments_.shape[d];
    }
  }

  int64_t take_positions(const Tile& results, const Tile& flags) {
    auto* to = results.as<int64_t>();
    const auto rank = static_cast<size_t>(arguments_.rank);
    if (rank == 0) return count_set(flags.data, flags.columns);
    const size_t last = rank - 1;
    int64_t taken = 0;
    for (int64_t i = 0; i < flags.columns;) {
      const int64_t run = std::min(flags.columns - i, arguments_.shape[last] - position_[last]);
      for (int64_t j = 0; j < run; ++j, ++position_[last]) {
        std::copy_n(position_.data(), rank, to + taken * width_);
        taken += flags.data[i + j] != std::byte{0} ? 1 : 0;
      }
      i += run;
      for (size_t d = last; d > 0 && position_[d] == arguments_.shape[d]; --d) {
        position_[d] = 0;
        ++position_[d - 1];
      }
    }
    return taken;
  }

  void account(const Tile& results, const Tile& values, const Tile& flags, int64_t taken) {
    const auto count = static_cast<uint64_t>(flags.columns);
    Tick sums;
    pe_.state().costs->reduction(sums, DType::I32, count, 5 * count);
    time_call(pe_.state(), sums, sums.duration, sums.latency, results.page, {flags.page});
    Tick moves;
    pe_.state().costs->layout(moves, static_cast<uint64_t>(taken * width_) * size_of(results.dtype));
    time_call(pe_.state(), moves, moves.duration, moves.latency, results.page, {values.page, results.page});
  }

  ProcessingElement& pe_;
  const TakeFlaggedArguments& arguments_;
  int64_t width_;
  std::array<int64_t, TakeFlaggedArguments::max_rank> position_{};
};

void take_flagged(ProcessingElement& pe, const TakeFlaggedArguments& arguments) { Taker(pe, arguments).take_all(); }

MTIA_CPP_KERNEL("count_flags", count_flags, CountFlagsArguments);
MTIA_CPP_KERNEL("take_flagged", take_flagged, TakeFlaggedArguments);

}  // namespace
}  // namespace mtia::kernels
