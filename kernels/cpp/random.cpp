// The C++ kernel "random": pages of Philox words, turned into the distribution's numbers by the vector core and SIMD
// engine.
#include "kernels/cpp/random.h"

#include <algorithm>
#include <cmath>
#include <cstddef>
#include <span>

#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/pe/processing_element.h"

namespace mtia::kernels {

namespace {

using emulator::AddressRange;
using emulator::ProcessingElement;
using emulator::Tile;

constexpr int64_t counters_a_page = 256;
constexpr double two_pi = 6.283185307179586;

Tile row_of(const Tile& tile, int64_t row) { return tile.slice(row, 1, 0, tile.columns); }

class Random {
 public:
  Random(ProcessingElement& pe, const RandomArguments& arguments)
      : pe_(pe),
        arguments_(arguments),
        wide_(uses_wide_words(arguments)),
        real_(arguments.dtype == DType::F64 && arguments.distribution != Distribution::bernoulli ? DType::F64
                                                                                                 : DType::F32),
        word_(wide_ ? DType::I64 : DType::I32),
        columns_(wide_ ? 2 : 4),
        words_(pe.allocate(DType::I32, counters_a_page, 4)),
        turned_(pe.allocate(word_, columns_, counters_a_page)),
        values_(pe.allocate(real_, columns_, counters_a_page)),
        scratch_(pe.allocate(real_, 1, counters_a_page)),
        angle_(pe.allocate(real_, 1, counters_a_page)),
        long_(pe.allocate(DType::I64, 1, counters_a_page * columns_)),
        low_(pe.allocate(DType::I64, 1, 1)),
        range_(pe.allocate(DType::I64, 1, 1)),
        result_(pe.allocate(arguments.dtype, 1, counters_a_page * columns_)) {
    if (arguments.distribution == Distribution::integer) {
      pe.fill_bits(low_, static_cast<uint64_t>(arguments.integer_low));
      pe.fill_bits(range_, arguments.integer_range);
    }
  }

  void run() {
    const int64_t elements = counters_a_page * columns_;
    const int64_t pages = (arguments_.count + elements - 1) / elements;
    if (pe_.shares_work() && is_done_elsewhere(pages, elements)) return;
    for (int64_t page = pe_.index(); page < pages; page += pe_.count()) {
      const int64_t first = page * elements;
      const uint64_t counter = arguments_.offset + static_cast<uint64_t>(page * counters_a_page);
      pe_.philox(ProcessingElement::Random::bits, words_, arguments_.seed, 0, 4 * counter);
      const Tile numbers =
          arguments_.distribution == Distribution::integer || arguments_.distribution == Distribution::bernoulli
              ? integers()
              : reals();
      const int64_t count = std::min(elements, arguments_.count - first);
      pe_.dma_store({.base = arguments_.destination + static_cast<uint64_t>(first) * size_of(arguments_.dtype),
                     .dtype = arguments_.dtype},
                    numbers.slice(0, 1, 0, count));
    }
  }

 private:
  // A PE's pages are whole ones, but for the last of all.
  bool is_done_elsewhere(int64_t pages, int64_t elements) {
    const int64_t own = pages <= pe_.index() ? 0 : (pages - pe_.index() - 1) / pe_.count() + 1;
    if (own == 0) return false;
    const int64_t last = pe_.index() + (own - 1) * pe_.count();
    const int64_t end = std::min(arguments_.count, (last + 1) * elements);
    const uint64_t size = size_of(arguments_.dtype);
    const auto alignment = static_cast<int64_t>(pe_.chip().fabric_alignment_bytes);
    const AddressRange stored{arguments_.destination + static_cast<uint64_t>(pe_.index() * elements) * size,
                              arguments_.destination + static_cast<uint64_t>(end) * size};
    return pe_.is_done_elsewhere({own, end - last * elements, static_cast<int64_t>(stored.begin) % alignment},
                                 std::span(&stored, 1));
  }

  static bool uses_wide_words(const RandomArguments& arguments) {
    if (arguments.distribution == Distribution::integer)
      return arguments.integer_range == 0 || arguments.integer_range > (1ULL << 32);
    return arguments.dtype == DType::F64 && arguments.distribution != Distribution::bernoulli;
  }

  // The page's words as integers of their width: [counters][2 or 4].
  Tile words() const {
    Tile tile = words_;
    tile.dtype = word_;
    return tile.reshaped(counters_a_page, columns_);
  }

  // result_ = low + floor(word * range / 2^width), or word < probability.
  Tile integers() {
    const Tile flat = words().reshaped(1, counters_a_page * columns_);
    if (arguments_.distribution == Distribution::bernoulli) {
      const double threshold = std::ceil(std::clamp(arguments_.a, 0.0, 1.0) * 0x1p24);
      pe_.vector(Opcode::shr_u, flat, flat, 8.0);
      pe_.vector(Opcode::sub_i, flat, flat, threshold);
      pe_.vector(Opcode::shr_u, flat, flat, 31.0);  // the sign: 1 where the 24 bits are below the threshold
      pe_.convert(result_, flat, false);
      return result_;
    }
    const bool whole = arguments_.integer_range == (wide_ ? 0 : 1ULL << 32);
    if (wide_) {
      if (!whole) pe_.vector(Opcode::mulhi_u, flat, flat, range_);
      pe_.vector(Opcode::add_i, long_, flat, low_);
    } else {
      if (!whole) pe_.vector(Opcode::mulhi_u, flat, flat, static_cast<double>(arguments_.integer_range));
      pe_.convert(long_, flat, false);
      pe_.vector(Opcode::add_i, long_, long_, low_);
    }
    pe_.convert(result_, long_, true);
    return result_;
  }

  // Numbers of [0, 1) or (0, 1] in rows, one row a word of the counter, then the distribution, then back to the words'
  // order.
  Tile reals() {
    const int bits = random_bits();
    pe_.permute(turned_, words());
    pe_.vector(Opcode::shr_u, turned_, turned_, (wide_ ? 64.0 : 32.0) - bits);
    pe_.convert(values_, turned_, true);
    const double place = std::ldexp(1.0, -bits);
    switch (arguments_.distribution) {
      case Distribution::normal:
        for (int64_t row = 0; row < columns_; row += 2)
          normal_pair(row_of(values_, row), row_of(values_, row + 1), place);
        break;
      case Distribution::exponential:
        pe_.vector(Opcode::add_f, values_, values_, 1.0);
        pe_.vector(Opcode::mul_f, values_, values_, place);
        pe_.vector(Opcode::log, values_, values_);
        pe_.vector(Opcode::mul_f, values_, values_, -1.0 / arguments_.a);
        keep_inside();
        break;
      default:
        pe_.vector(Opcode::mul_f, values_, values_, place);
        pe_.vector(Opcode::mul_f, values_, values_, arguments_.b - arguments_.a);
        pe_.vector(Opcode::add_f, values_, values_, arguments_.a);
        keep_inside();
    }
    Tile ordered = words_;  // no longer needed, and as large
    ordered.dtype = real_;
    ordered = ordered.reshaped(counters_a_page, columns_);
    pe_.permute(ordered, values_);
    const Tile flat = ordered.reshaped(1, counters_a_page * columns_);
    if (arguments_.dtype == real_) return flat;
    pe_.convert(result_, flat);
    return result_;
  }

  // A uniform number has no more bits than its dtype, which would round the largest ones up to 1.
  int random_bits() const {
    if (wide_) return 53;
    if (arguments_.distribution != Distribution::uniform) return 24;
    return arguments_.dtype == DType::F16 ? 11 : arguments_.dtype == DType::BF16 ? 8 : 24;
  }

  void keep_inside() {
    if (std::isfinite(arguments_.lowest)) pe_.vector(Opcode::max_f, values_, values_, arguments_.lowest);
    if (std::isfinite(arguments_.highest)) pe_.vector(Opcode::min_f, values_, values_, arguments_.highest);
  }

  // Box-Muller: two uniform numbers (as integers) become two normal ones in their place.
  void normal_pair(const Tile& first, const Tile& second, double place) {
    pe_.vector(Opcode::add_f, first, first, 1.0);
    pe_.vector(Opcode::mul_f, first, first, place);  // in (0, 1]
    pe_.vector(Opcode::log, scratch_, first);
    pe_.vector(Opcode::mul_f, scratch_, scratch_, -2.0);
    pe_.vector(Opcode::sqrt, scratch_, scratch_);
    pe_.vector(Opcode::mul_f, scratch_, scratch_, arguments_.b);
    pe_.vector(Opcode::mul_f, angle_, second, place);
    pe_.vector(Opcode::mul_f, angle_, angle_, two_pi);
    pe_.vector(Opcode::cos, first, angle_);
    pe_.vector(Opcode::sin, second, angle_);
    for (const Tile& value : {first, second}) {
      pe_.vector(Opcode::mul_f, value, value, scratch_);
      pe_.vector(Opcode::add_f, value, value, arguments_.a);
    }
  }

  ProcessingElement& pe_;
  RandomArguments arguments_;
  bool wide_;   // words of 64 bits
  DType real_;  // that real numbers are computed in
  DType word_;
  int64_t columns_;  // words a counter
  Tile words_;
  Tile turned_;
  Tile values_;
  Tile scratch_;
  Tile angle_;
  Tile long_;
  Tile low_;
  Tile range_;
  Tile result_;
};

void random(ProcessingElement& pe, const RandomArguments& arguments) {
  if (arguments.distribution == Distribution::exponential && !(arguments.a > 0)) {
    throw InvalidArgument(concat("the rate of an exponential distribution is ", arguments.a), "random",
                          "pass a positive rate");
  }
  Random(pe, arguments).run();
}

MTIA_CPP_KERNEL("random", random, RandomArguments);

}  // namespace

}  // namespace mtia::kernels
