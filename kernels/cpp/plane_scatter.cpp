// The C++ kernel "plane_scatter": each PE owns neighbouring planes, or parts of one where local memory does not hold
// it, puts them together in local memory, and stores them as one piece.
//
// On the chip the scalar core reads an index, adds and writes: a few instructions an element, whatever the index is.
#include "kernels/cpp/plane_scatter.h"

#include <algorithm>

#include "base/error.h"
#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/processing_element.h"
#include "emulator/refusal.h"
#include "kernels/cpp/share.h"
#include "kernels/cpp/sort_keys.h"

namespace mtia::kernels {
namespace {

using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tick;
using emulator::Tile;

constexpr int64_t longest_block = 2048;
constexpr uint64_t instructions_an_element = 4;

class PlaneScatter {
 public:
  PlaneScatter(ProcessingElement& pe, const PlaneScatterArguments& arguments)
      : pe_(pe),
        arguments_(arguments),
        is_narrow_(arguments.adds && (arguments.dtype == DType::F16 || arguments.dtype == DType::BF16)),
        sum_dtype_(is_narrow_ ? DType::F32 : arguments.dtype) {}

  void scatter_all() {
    const auto bytes = static_cast<int64_t>(size_of(arguments_.dtype));
    const auto sum_bytes = static_cast<int64_t>(size_of(sum_dtype_));
    const int64_t element = sum_bytes + (is_narrow_ ? bytes : 0);
    const int64_t room = static_cast<int64_t>(pe_.local_bytes_free()) - 1024;
    const int64_t read = 2 * (bytes + 8) + (is_narrow_ ? sum_bytes : 0);
    block_ = std::clamp<int64_t>(room / 4 / read, 1, longest_block);
    const int64_t held = (room - block_ * read) / element;
    const int64_t parts = (arguments_.size + held - 1) / held;
    const int64_t part = (arguments_.size + parts - 1) / parts;
    const auto [begin, end] = share_of(pe_, arguments_.planes * parts);
    const int64_t together =
        parts > 1 ? 1 : std::clamp<int64_t>(held / arguments_.size, 1, std::max<int64_t>(1, end - begin));
    for (int64_t item = begin; item < end; item += together) {
      const int64_t low = item % parts * part;
      const int64_t planes = std::min(together, end - item);
      scatter(item / parts, planes, low, std::min(part, arguments_.size - low));
    }
  }

 private:
  // Elements [low, low + size) of each of these planes.
  void scatter(int64_t plane, int64_t planes, int64_t low, int64_t size) {
    const LocalScope scope(pe_);
    const Tile sums = pe_.allocate(sum_dtype_, 1, planes * size);
    pe_.fill_bits(sums, 0);
    const int64_t total = planes * arguments_.count;
    const int64_t block = std::min(block_, total);
    Tile values[2], indices[2];
    for (int i = 0; i < 2; ++i) {
      values[i] = pe_.allocate(arguments_.dtype, 1, block);
      indices[i] = pe_.allocate(DType::I64, 1, block);
    }
    const Tile widened = is_narrow_ ? pe_.allocate(sum_dtype_, 1, block) : Tile{};
    for (int64_t first = 0, number = 0; first < total; first += block, ++number) {
      const int64_t count = std::min(block, total - first);
      const Tile index = load(indices[number % 2], arguments_.indices, plane * arguments_.count + first, count);
      Tile value = load(values[number % 2], arguments_.source, plane * arguments_.count + first, count);
      if (is_narrow_) {
        const Tile wide = widened.slice(0, 1, 0, count);
        pe_.convert(wide, value);
        value = wide;
      }
      if (pe_.state().host_work == emulator::HostWork::all) add(sums, value, index, first, low, size);
      account(sums, value, index);
    }
    const Tile rounded = is_narrow_ ? pe_.allocate(arguments_.dtype, 1, planes * size) : sums;
    if (is_narrow_) pe_.convert(rounded, sums);
    pe_.dma_store({.base = address(arguments_.target, plane * arguments_.size + low, arguments_.dtype),
                   .dtype = arguments_.dtype},
                  rounded);
  }

  static uint64_t address(uint64_t base, int64_t element, DType dtype) {
    return base + static_cast<uint64_t>(element) * size_of(dtype);
  }

  Tile load(const Tile& whole, uint64_t base, int64_t first, int64_t count) {
    const Tile tile = whole.slice(0, 1, 0, count);
    pe_.dma_load(tile, {.base = address(base, first, tile.dtype), .dtype = tile.dtype});
    return tile;
  }

  void add(const Tile& sums, const Tile& values, const Tile& indices, int64_t first, int64_t low, int64_t size) {
    const auto send = [&](auto* to, const auto* from, auto put) {
      const auto* index = indices.as<int64_t>();
      int64_t plane = first / arguments_.count, left = arguments_.count - first % arguments_.count;
      for (int64_t i = 0; i < indices.columns; ++i, --left) {
        if (left == 0) {
          left = arguments_.count;
          ++plane;
        }
        if (index[i] < 0 || index[i] >= arguments_.size) refuse(index[i]);
        const int64_t place = index[i] - low;
        if (place >= 0 && place < size) put(to[plane * size + place], from[i]);
      }
    };
    if (arguments_.adds && sum_dtype_ == DType::F32) {
      send(sums.as<float>(), values.as<float>(), [](float& sum, float value) { sum += value; });
    } else if (arguments_.adds && sum_dtype_ == DType::F64) {
      send(sums.as<double>(), values.as<double>(), [](double& sum, double value) { sum += value; });
    } else {
      with_word(sum_dtype_, [&](auto word) {
        using Word = decltype(word);
        send(sums.as<Word>(), values.as<Word>(),
             [this](Word& sum, Word value) { sum = arguments_.adds ? static_cast<Word>(sum + value) : value; });
      });
    }
  }

  [[noreturn]] void refuse(int64_t index) const {
    throw emulator::Refusal(ErrorCategory::OutOfBounds,
                            concat("index ", index, " is out of range of ", arguments_.size, " elements"), "",
                            concat("give 0 to ", arguments_.size - 1));
  }

  void account(const Tile& sums, const Tile& values, const Tile& indices) {
    Tick tick;
    tick.unit = Unit::scalar;
    const auto duration = static_cast<uint64_t>(indices.columns) * instructions_an_element;
    time_call(pe_.state(), tick, duration * pe_.state().costs->scalar_cost(), 0, sums.page,
              {values.page, indices.page, sums.page});
  }

  ProcessingElement& pe_;
  const PlaneScatterArguments& arguments_;
  bool is_narrow_;
  DType sum_dtype_;
  int64_t block_ = 0;
};

void plane_scatter(ProcessingElement& pe, const PlaneScatterArguments& arguments) {
  PlaneScatter(pe, arguments).scatter_all();
}

MTIA_CPP_KERNEL("plane_scatter", plane_scatter, PlaneScatterArguments);

}  // namespace
}  // namespace mtia::kernels
