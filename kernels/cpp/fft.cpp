// The C++ kernel "fft": each PE transforms neighbouring elements of the batch. Signals come as their memory has them
// best (whole rows, or rows of neighbouring elements of the batch), the layout unit takes them apart into real and
// imaginary tiles, and the vector core runs the stages of fft_stages.h. Short signals stand side by side in columns; a
// long one is alone, as a matrix whose columns are transformed, turned by roots of unity, transposed, and whose columns
// are transformed again.
#include "kernels/cpp/fft.h"

#include <algorithm>
#include <array>
#include <utility>
#include <vector>

#include "chip/chip_spec.h"
#include "emulator/pe/processing_element.h"
#include "kernels/cpp/fft_plan.h"
#include "kernels/cpp/fft_stages.h"
#include "kernels/cpp/share.h"

namespace mtia::kernels {
namespace {

using emulator::DmaDescriptor;
using emulator::ProcessingElement;
using emulator::Tile;

// Elements of a batch whose memory a transfer takes at once.
constexpr int64_t wanted_transfer_bytes = 64;
constexpr int64_t tile_elements = 8192;

// How the elements of a page are ordered: [element of the batch][place], [place][element of the batch], or the latter
// for the real and behind them for the imaginary parts.
enum class Order : uint8_t { rows, columns, planes };

Order order_of(const FftSignal& signal, uint32_t batch_rank) {
  if (signal.stride == 1 || signal.length == 1) return Order::rows;
  if (!signal.is_complex || (batch_rank > 0 && signal.batch_strides[batch_rank - 1] == 1)) return Order::columns;
  return Order::planes;
}

// Some elements of the batch, as they lie in a page of local memory.
class Page {
 public:
  Page() = default;
  Page(const FftSignal& signal, uint32_t batch_rank, const Tile& room, int64_t count)
      : order_(order_of(signal, batch_rank)),
        parts_(signal.parts()),
        length_(signal.length),
        count_(count),
        tile_(room) {}

  Order order() const { return order_; }

  // [place, element] of the numbers' part 0 (real) or 1 (imaginary), of `elements` from `first` on.
  Tile part(int64_t part, int64_t first, int64_t elements) const {
    switch (order_) {
      case Order::rows:
        return tile_.view(first * length_ * parts_ + part, length_, elements, parts_, length_ * parts_);
      case Order::columns:
        return tile_.view(first * parts_ + part, length_, elements, count_ * parts_, parts_);
      default:
        return tile_.view(part * length_ * count_ + first, length_, elements, count_);
    }
  }

  // What a transfer of elements [first, first + elements) moves at once, as rows of adjacent numbers.
  Tile transferred(int64_t first, int64_t elements) const {
    return order_ == Order::rows ? tile_.view(first * length_ * parts_, elements, length_ * parts_, length_ * parts_)
                                 : tile_.view(first * parts_, length_, elements * parts_, count_ * parts_);
  }

  // The page's numbers lie elsewhere, as they were transferred.
  void set(const Tile& other) {
    tile_.data = other.data;
    tile_.page = other.page;
  }

 private:
  Order order_ = Order::rows;
  int64_t parts_ = 2;
  int64_t length_ = 0;
  int64_t count_ = 0;
  Tile tile_;
};

// Rooms that are used in turn, so that the next transfer need not wait for who uses this one's.
class Rooms {
 public:
  Rooms() = default;
  Rooms(ProcessingElement& pe, const FftSignal& signal, DType dtype, int64_t count, int64_t rooms) : rooms_(rooms) {
    for (int64_t i = 0; i < rooms; ++i) tiles_[static_cast<size_t>(i)] = pe.allocate(dtype, 1, signal.reals() * count);
  }
  const Tile& next() { return tiles_[static_cast<size_t>(number_++ % rooms_)]; }

 private:
  std::array<Tile, 2> tiles_;
  int64_t rooms_ = 1;
  int64_t number_ = 0;
};

class Transformer {
 public:
  Transformer(ProcessingElement& pe, const FftArguments& arguments)
      : pe_(pe), arguments_(arguments), plan_(fft_plan(arguments.length)) {}

  void transform_all() {
    int64_t batch = 1;
    for (uint32_t i = 0; i < arguments_.batch_rank; ++i) batch *= arguments_.batch_shape[i];
    const int64_t unit = elements_a_transfer();
    const Share units = share_of(pe_, (batch + unit - 1) / unit);
    const int64_t begin = units.begin * unit, end = std::min(batch, units.end * unit);
    if (begin >= end) return;
    load_table();
    allocate(end - begin, unit);
    for (int64_t first = begin; first < end; first += count_) transform(first, std::min(count_, end - first));
  }

 private:
  // So many neighbours are worth a transfer of their own.
  int64_t elements_a_transfer() const {
    const uint32_t rank = arguments_.batch_rank;
    const bool has_columns =
        order_of(arguments_.source, rank) != Order::rows || order_of(arguments_.result, rank) != Order::rows;
    return has_columns ? wanted_transfer_bytes / (2 * static_cast<int64_t>(size_of(arguments_.dtype))) : 1;
  }

  void load_table() {
    const int64_t numbers = fft_table_size(plan_);
    table_ = pe_.allocate(arguments_.dtype, 1, numbers);
    if (numbers > 0) pe_.dma_load(table_, {.base = arguments_.table, .dtype = arguments_.dtype});
  }

  // As many elements of the batch at a time as local memory has room for, and make long instructions or transfers.
  void allocate(int64_t share, int64_t unit) {
    const auto size = static_cast<int64_t>(size_of(arguments_.dtype));
    const int64_t room = static_cast<int64_t>(pe_.local_bytes_free()) - 16 * 64;
    const int64_t scratch = scratch_elements(plan_);
    const int64_t factors =
        (arguments_.source_factor.is_there() ? 1 : 0) + (arguments_.result_factor.is_there() ? 1 : 0);
    const int64_t in_work = 2 * size * ((factors == 0 ? 2 : 3) * plan_.length + scratch);
    const int64_t factor = 2 * size * plan_.length * factors;
    const int64_t page = size * (arguments_.source.reals() + arguments_.result.reals());
    const auto fitting = [&](int64_t rooms) {
      return plan_.is_split() ? (room - in_work) / (rooms * page + factor) : room / (rooms * page + factor + in_work);
    };
    const int64_t wanted = plan_.is_split() ? unit : std::max(unit, tile_elements / plan_.length);
    const int64_t rooms = fitting(2) >= std::min(wanted, share) ? 2 : 1;
    count_ = std::clamp<int64_t>(fitting(rooms), 1, std::min(wanted, share));
    work_ = allocate_complex(pe_, arguments_.dtype, plan_.length * side_by_side(count_));
    other_ = allocate_complex(pe_, arguments_.dtype, plan_.length * side_by_side(count_));
    scratch_ = allocate_complex(pe_, arguments_.dtype, scratch * side_by_side(count_));
    loaded_ = Rooms(pe_, arguments_.source, arguments_.dtype, count_, rooms);
    stored_ = Rooms(pe_, arguments_.result, arguments_.dtype, count_, rooms);
    if (factors > 0) turn_ = allocate_complex(pe_, arguments_.dtype, plan_.length * side_by_side(count_));
    if (arguments_.source_factor.is_there()) before_room_ = room_for(arguments_.source_factor);
    if (arguments_.result_factor.is_there()) after_room_ = room_for(arguments_.result_factor);
  }

  Tile room_for(const FftSignal& signal) { return pe_.allocate(arguments_.dtype, 1, signal.reals() * count_); }

  // Of `count` elements of the batch, those that are transformed at once.
  int64_t side_by_side(int64_t count) const { return plan_.is_split() ? 1 : count; }

  // Elements [first, first + count) of the batch.
  void transform(int64_t first, int64_t count) {
    const Page source = load(arguments_.source, loaded_.next(), first, count);
    const Page result(arguments_.result, arguments_.batch_rank, stored_.next(), count);
    const FftSignal& before = arguments_.source_factor;
    const FftSignal& after = arguments_.result_factor;
    const Page factors_before = before.is_there() ? load(before, before_room_, first, count) : Page{};
    const Page factors_after = after.is_there() ? load(after, after_room_, first, count) : Page{};
    const int64_t elements = side_by_side(count);
    for (int64_t i = 0; i < count; i += elements) {
      ComplexTile signal = work_, room = other_;
      take(signal, source, i, elements);
      if (before.is_there()) apply_factor(signal, room, before, factors_before, i, elements);
      run(signal, room, elements);
      if (after.is_there()) apply_factor(signal, room, after, factors_after, i, elements);
      const ComplexTile whole = signal.block(0, 1, plan_.length * elements);
      if (arguments_.scale != 1.0) {
        for (int64_t part = 0; part < arguments_.result.parts(); ++part)
          pe_.vector(Opcode::mul_f, part_of(whole, part), part_of(whole, part), arguments_.scale);
      }
      put(result, signal, i, elements);
    }
    store(result, first, count);
  }

  // ---- between memory and pages

  // Calls body(first of the run in the page, its elements, its place in memory) for elements of the batch that are
  // neighbours along its last dimension.
  template <typename Body>
  void for_each_run(const FftSignal& signal, int64_t first, int64_t count, const Body& body) const {
    const uint32_t rank = arguments_.batch_rank;
    const int64_t inner = rank == 0 ? 1 : arguments_.batch_shape[rank - 1];
    for (int64_t done = 0; done < count;) {
      const int64_t column = (first + done) % inner;
      const int64_t run = std::min(count - done, inner - column);
      int64_t rest = (first + done) / inner;
      int64_t place = rank == 0 ? 0 : column * signal.batch_strides[rank - 1];
      for (uint32_t i = rank; i-- > 1;) {
        place += rest % arguments_.batch_shape[i - 1] * signal.batch_strides[i - 1];
        rest /= arguments_.batch_shape[i - 1];
      }
      body(done, run, place);
      done += run;
    }
  }

  int64_t run_stride(const FftSignal& signal) const {
    return arguments_.batch_rank == 0 ? 0 : signal.batch_strides[arguments_.batch_rank - 1];
  }

  DmaDescriptor memory_of(const FftSignal& signal, Order order, int64_t place, int64_t part) const {
    const int64_t parts = signal.parts();
    const auto base = signal.base + static_cast<uint64_t>(place * parts + part) * size_of(arguments_.dtype);
    switch (order) {
      case Order::rows:
        return {.base = base, .dtype = arguments_.dtype, .row_stride = run_stride(signal) * parts};
      case Order::columns:
        return {.base = base,
                .dtype = arguments_.dtype,
                .row_stride = signal.stride * parts,
                .column_stride = signal.is_complex ? 1 : run_stride(signal)};
      default:
        return {.base = base,
                .dtype = arguments_.dtype,
                .row_stride = signal.stride * parts,
                .column_stride = run_stride(signal) * parts};
    }
  }

  Page load(const FftSignal& signal, const Tile& room, int64_t first, int64_t count) {
    Page page(signal, arguments_.batch_rank, room, count);
    for_each_run(signal, first, count, [&](int64_t begin, int64_t run, int64_t place) {
      if (page.order() == Order::planes) {
        for (int64_t part = 0; part < 2; ++part)
          pe_.dma_load(page.part(part, begin, run), memory_of(signal, page.order(), place, part));
        return;
      }
      const Tile tile = page.transferred(begin, run);
      const DmaDescriptor memory = memory_of(signal, page.order(), place, 0);
      const bool is_dense = tile.rows == 1 || (run == count && memory.row_stride == tile.row_stride);
      if (run == count && is_dense && memory.column_stride == 1) {
        page.set(pe_.dma_view(tile, memory));
      } else {
        pe_.dma_load(tile, memory);
      }
    });
    return page;
  }

  void store(const Page& page, int64_t first, int64_t count) {
    const FftSignal& signal = arguments_.result;
    for_each_run(signal, first, count, [&](int64_t begin, int64_t run, int64_t place) {
      if (page.order() == Order::planes) {
        for (int64_t part = 0; part < 2; ++part)
          pe_.dma_store(memory_of(signal, page.order(), place, part), page.part(part, begin, run));
        return;
      }
      pe_.dma_store(memory_of(signal, page.order(), place, 0), page.transferred(begin, run));
    });
  }

  // ---- between pages and tiles of places x elements

  // Places [first, first + places) of a part, as a matrix that permute takes: one row where an element is alone.
  static Tile places_of(const Tile& part, int64_t first, int64_t places, int64_t elements) {
    return elements == 1 ? part.view(first, 1, places, places)
                         : part.view(first * elements, places, elements, elements);
  }

  void take_part(const Tile& part, const Page& page, int64_t number, int64_t first, int64_t elements, int64_t places) {
    const Tile to = places_of(part, 0, places, elements);
    const Tile from = page.part(number, first, elements);  // places x elements
    pe_.permute(to, elements == 1 ? from : from.transposed());
  }

  void take(const ComplexTile& signal, const Page& page, int64_t first, int64_t elements) {
    const FftSignal& source = arguments_.source;
    const ComplexTile to = arguments_.conjugate ? signal.swapped() : signal;
    const int64_t places = source.length, rest = plan_.length - places;
    take_part(to.real, page, 0, first, elements, places);
    if (source.is_complex) take_part(to.imaginary, page, 1, first, elements, places);
    if (arguments_.is_symmetric) return mirror(to, elements);
    if (rest > 0) pe_.fill(places_of(to.real, places, rest, elements), 0.0);
    if (!source.is_complex) {
      pe_.fill(places_of(to.imaginary, 0, plan_.length, elements), 0.0);
    } else if (rest > 0) {
      pe_.fill(places_of(to.imaginary, places, rest, elements), 0.0);
    }
  }

  // Number length - k is the conjugate of number k; those that are their own conjugates have no imaginary part.
  void mirror(const ComplexTile& signal, int64_t elements) {
    const int64_t length = plan_.length, half = length / 2, mirrored = (length - 1) / 2;
    const auto backwards = [&](const Tile& part) {  // elements x places mirrored, mirrored - 1, ..., 1
      return elements == 1 ? part.view(mirrored, mirrored, 1, -1)
                           : part.view(mirrored * elements, elements, mirrored, 1, -elements);
    };
    pe_.fill(places_of(signal.imaginary, 0, 1, elements), 0.0);
    if (length % 2 == 0) pe_.fill(places_of(signal.imaginary, half, 1, elements), 0.0);
    if (mirrored == 0) return;
    const int64_t first = length - mirrored;
    pe_.permute(places_of(signal.real, first, mirrored, elements), backwards(signal.real));
    const Tile imaginary = places_of(signal.imaginary, first, mirrored, elements);
    pe_.permute(imaginary, backwards(signal.imaginary));
    pe_.vector(Opcode::neg_f, imaginary, imaginary);
  }

  // The product of the first `places` takes the signal's place; the rest is zero.
  void apply_factor(ComplexTile& signal, ComplexTile& room, const FftSignal& factor, const Page& page, int64_t first,
                    int64_t elements) {
    const int64_t places = factor.length, rest = plan_.length - places;
    take_part(turn_.real, page, 0, first, elements, places);
    take_part(turn_.imaginary, page, 1, first, elements, places);
    const int64_t count = places * elements;
    multiply(pe_, room.block(0, 1, count), signal.block(0, 1, count), turn_.block(0, 1, count));
    if (rest > 0) {
      pe_.fill(places_of(room.real, places, rest, elements), 0.0);
      pe_.fill(places_of(room.imaginary, places, rest, elements), 0.0);
    }
    std::swap(signal, room);
  }

  // ---- the transform

  void run(ComplexTile& signal, ComplexTile& other, int64_t elements) {
    const int64_t outer_roots = stage_roots_size(plan_.outer, plan_.outer_radices);
    const auto stages = [&](int64_t length, const std::vector<int64_t>& radices, int64_t roots, int64_t columns) {
      const FftStages all(pe_, length, radices, table_from(roots), scratch_);
      if (all.run(signal, other, columns)) std::swap(signal, other);
    };
    if (!plan_.is_split()) return stages(plan_.length, plan_.outer_radices, 0, elements);
    stages(plan_.outer, plan_.outer_radices, 0, plan_.inner);
    const int64_t turns = outer_roots + stage_roots_size(plan_.inner, plan_.inner_radices);
    const ComplexTile roots{table_from(turns), table_from(turns + plan_.length)};
    multiply(pe_, other.block(0, 1, plan_.length), signal.block(0, 1, plan_.length), roots.block(0, 1, plan_.length));
    const ComplexTile from = other.block(0, plan_.outer, plan_.inner);
    const ComplexTile to = signal.block(0, plan_.inner, plan_.outer);
    pe_.permute(to.real, from.real);
    pe_.permute(to.imaginary, from.imaginary);
    stages(plan_.inner, plan_.inner_radices, outer_roots, plan_.outer);
  }

  Tile table_from(int64_t first) const { return table_.slice(0, 1, first, table_.columns - first); }

  // The other root's transform is this one of numbers whose parts have changed places.
  const Tile& part_of(const ComplexTile& signal, int64_t part) const {
    return (part == 0) != arguments_.conjugate ? signal.real : signal.imaginary;
  }

  void put(const Page& page, const ComplexTile& signal, int64_t first, int64_t elements) {
    for (int64_t number = 0; number < arguments_.result.parts(); ++number) {
      const Tile part = places_of(part_of(signal, number), 0, arguments_.result.length, elements);
      const Tile to = page.part(number, first, elements);
      pe_.permute(elements == 1 ? to : to.transposed(), part);
    }
  }

  ProcessingElement& pe_;
  const FftArguments& arguments_;
  FftPlan plan_;
  Tile table_;
  int64_t count_ = 1;
  ComplexTile work_;
  ComplexTile other_;
  ComplexTile scratch_;
  Rooms loaded_;
  Rooms stored_;
  ComplexTile turn_;  // the factor of what is in work
  Tile before_room_;
  Tile after_room_;
};

void fft(ProcessingElement& pe, const FftArguments& arguments) { Transformer(pe, arguments).transform_all(); }

MTIA_CPP_KERNEL("fft", fft, FftArguments);

}  // namespace
}  // namespace mtia::kernels
