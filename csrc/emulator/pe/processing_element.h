// The C++ kernel API: one processing element. A kernel is `void kernel(ProcessingElement& pe, const Arguments&
// arguments)`, run once on each PE of the launch grid and registered by MTIA_CPP_KERNEL("name", kernel, Arguments). It
// reaches device memory only by DMA into tiles of local memory; each call computes at once and tells the scoreboard,
// from which overlap in chip time follows: two calls overlap when their units differ and neither reads or overwrites
// what the other works on. Circular buffers give loads pages of their own.
//
// Destination first, then sources. Every call checks shapes and dtypes and throws InvalidArgument naming the call.
#pragma once

#include <cstddef>
#include <cstdint>
#include <span>
#include <type_traits>
#include <vector>

#include "base/dtype.h"
#include "emulator/emulator.h"
#include "emulator/pe/tile.h"
#include "emulator/timing/scoreboard.h"
#include "isa/opcode.h"

namespace mtia {
struct ChipSpec;
}

namespace mtia::emulator {

struct PeState;  // pe/pe_state.h

// A tile as the right operand of products, by host_math::pack_b: a convenience of the emulator that costs nothing on
// the chip.
struct PackedTile {
  const std::byte* data = nullptr;
  DType dtype = DType::F32;
  uint32_t page = 0;
  int64_t rows = 0;
  int64_t columns = 0;
};

class ProcessingElement {
 public:
  ProcessingElement(PeState& state, uint32_t index, uint32_t count) : state_(&state), index_(index), count_(count) {}

  uint32_t index() const { return index_; }  // this PE's place in the launch grid
  uint32_t count() const { return count_; }  // PEs in the launch grid
  const ChipSpec& chip() const;

  // In timing mode PEs that make the same calls need not all make them. A kernel may tell its calls by numbers, which
  // are equal only where the calls are but for addresses equally aligned, and the memory that they touch, by operand,
  // from the first byte to the last. True: nothing is left to do. Ask shares_work() before the numbers are gathered.
  bool shares_work() const;
  bool is_done_elsewhere(std::vector<int64_t>&& calls, std::span<const AddressRange> touched);

  // A tile of local memory, uninitialised, rows x columns, dense, 64-byte aligned. Lives until the kernel returns or
  // the enclosing LocalScope ends. Throws OutOfLocalMemory.
  Tile allocate(DType dtype, int64_t rows, int64_t columns);
  uint64_t local_bytes_free() const;

  // ---- fabric interface
  // tile = memory; `fill` where clipped. Throws OutOfBounds.
  void dma_load(const Tile& destination, const DmaDescriptor& source, double fill = 0.0);
  void dma_store(const DmaDescriptor& destination, const Tile& source);
  // The same cost on the chip as loading `page_of`'s shape, without a host copy: the tile is a view of device memory,
  // to be read only by dot, permute or convert, before anything writes that memory. Needs the descriptor unclipped:
  // else it loads into `page_of` and returns that.
  Tile dma_view(const Tile& page_of, const DmaDescriptor& source);
  // Where the values of `tile` may be computed that dma_store(destination, ...) will take to memory: in that memory
  // itself, with tile's place on the scoreboard, or in `tile` where somebody watches accesses or it is out of bounds.
  // The store is still to be made, of what this returned, and costs the chip the same; until then nothing else may
  // touch that memory. Needs adjacent columns and the descriptor unclipped.
  Tile store_view(const Tile& tile, const DmaDescriptor& destination) const;
  // A load that several PEs get at once: each computes when it could start one into `destination` (load_time), and all
  // start at the latest of these. One of them counts the traffic. `view`: as dma_view.
  SubCycles load_time(const Tile& destination) const;
  Tile dma_multicast(const Tile& destination, const DmaDescriptor& source, double fill, bool view, SubCycles start,
                     bool counts_traffic);
  // Indexed DMA: row r of destination = the row_elements elements at base + size * indices[r] * row_stride. A negative
  // index, or one
  // >= limit, throws OutOfBounds. `indices`: a tile of i32 or i64 with destination.rows elements.
  void gather(const Tile& destination, uint64_t base, int64_t row_stride, const Tile& indices, int64_t limit);
  void scatter(uint64_t base, int64_t row_stride, const Tile& indices, int64_t limit, const Tile& source);
  // As scatter, adding to memory (one float32 or narrower rounding an add), rows in order.
  void scatter_add(uint64_t base, int64_t row_stride, const Tile& indices, int64_t limit, const Tile& source);

  // ---- dot product engine: d (+)= a[m,k] b[k,n]; accumulates in d's dtype: f32 for f8, f16, bf16, f32; f64; i32 for
  // i8. Operands may be strided or transposed views. `precision` as the instruction `dot`.
  void dot(const Tile& d, const Tile& a, const Tile& b, bool accumulate, int precision = 0);

  // As dot with b, which was packed for the host. `packed_a`: a by host_math::pack_a, or nullptr.
  void dot(const Tile& d, const Tile& a, const PackedTile& b, bool accumulate, int precision = 0,
           const std::byte* packed_a = nullptr);

  // ---- vector core and SIMD engine: an element-wise instruction of instructions.def. Operands have d's shape, or 1
  // row, or 1 column.
  void vector(Opcode opcode, const Tile& d, const Tile& a);
  void vector(Opcode opcode, const Tile& d, const Tile& a, const Tile& b);
  void vector(Opcode opcode, const Tile& d, const Tile& a, double b);
  void vector(Opcode opcode, const Tile& d, const Tile& a, const Tile& b, const Tile& c);
  // Any of them: operands are tiles, or numbers in `dtype`'s bits where the tile is null.
  struct Operand {
    const Tile* tile = nullptr;
    uint64_t bits = 0;
  };
  void elementwise(Opcode opcode, int64_t attribute, DType dtype, const Tile& d, std::span<const Operand> operands);
  void fill(const Tile& d, double value);
  void fill_bits(const Tile& d, uint64_t bits);
  // d = a in d's dtype (floats nearest even; float to integer towards zero, saturating; `is_signed` for integers).
  void convert(const Tile& d, const Tile& a, bool is_signed = true);
  void copy(const Tile& d, const Tile& a) { convert(d, a); }
  void iota(const Tile& d, int64_t start);
  // d (dense) = elements [first, first + d.elements()) of the Philox 4x32-10 sequence (host_math/random.h) of seed and
  // stream: bits as i32, uniform in [0, 1) or standard normal as f32. `first` is a multiple of 4.
  enum class Random : uint8_t { bits, uniform, normal };
  void philox(Random kind, const Tile& d, uint64_t seed, uint64_t stream, uint64_t first);

  // ---- reduction engine: d[rows,1] (axis 1) or d[1,columns] (axis 0) = a reduced.
  void reduce(ReduceKind kind, const Tile& d, const Tile& a, int axis);

  // ---- memory layout unit: d[j,i] = a[i,j].
  void permute(const Tile& d, const Tile& a);

  // Host-side read of one element of a tile as a scalar (the scalar core waits for it).
  double read(const Tile& tile, int64_t row, int64_t column);
  int64_t read_integer(const Tile& tile, int64_t row, int64_t column);

  // Tells the scoreboard of `instructions` scalar instructions of the kernel's own control flow.
  void scalar_work(uint64_t instructions);

  PeState& state() { return *state_; }

 private:
  friend class CircularBuffer;
  friend class DotChain;
  friend class LocalScope;

  PeState* state_;
  uint32_t index_;
  uint32_t count_;
};

// Products that are summed in one tile, one after the other: each costs what ProcessingElement::dot costs when it is
// added, but products whose operands are views of device memory, adjacent along k, are computed as one when the chain
// is finished. So nothing may read the sums before, nor write the operands' memory during the launch.
class DotChain {
 public:
  // What other chains of this launch read too may be packed for the host once. `columns`: by which the chains that read
  // the same left operands multiply them in all; `shares_right`: others read the same right operands.
  DotChain(ProcessingElement& pe, const Tile& sum, int64_t columns, bool shares_right)
      : pe_(pe), sum_(sum), columns_(columns), shares_right_(shares_right) {}

  // sum (+)= a b; the first product starts at 0. Operands are read at once, or, where they lie in device memory, by
  // finish().
  void add(const Tile& a, const Tile& b);
  void finish();

 private:
  void compute();

  ProcessingElement& pe_;
  Tile sum_;
  int64_t columns_;
  bool shares_right_;
  bool is_started_ = false;   // a product was added
  bool is_computed_ = false;  // sum_ holds the products before those that are put off
  Tile a_;                    // put off; no columns: nothing is
  Tile b_;
};

// Frees the local memory allocated since it was made.
class LocalScope {
 public:
  explicit LocalScope(ProcessingElement& pe);
  ~LocalScope();
  LocalScope(const LocalScope&) = delete;
  LocalScope& operator=(const LocalScope&) = delete;

 private:
  ProcessingElement& pe_;
  uint64_t mark_;
};

// A hardware circular buffer: a ring of equal pages in local memory with one producer and one consumer. A reserved page
// is overwritten in chip time only when the readers of its former contents have finished, so pages - 1 loads run ahead.
class CircularBuffer {
 public:
  CircularBuffer(ProcessingElement& pe, DType dtype, int64_t rows, int64_t columns, uint32_t pages);

  // A page being produced; pushed when the window ends. Throws Deadlock when all pages are pushed and none has been
  // popped.
  class Reserved {
   public:
    explicit Reserved(CircularBuffer& buffer);
    ~Reserved();
    Reserved(const Reserved&) = delete;
    Reserved& operator=(const Reserved&) = delete;
    const Tile& tile() const { return tile_; }
    // Replaces the page's contents by another view (dma_view).
    void set(const Tile& view);

   private:
    CircularBuffer& buffer_;
    Tile tile_;
  };

  // The oldest pushed page being consumed; popped when the window ends. Throws Deadlock when nothing was pushed.
  class Front {
   public:
    explicit Front(CircularBuffer& buffer);
    ~Front();
    Front(const Front&) = delete;
    Front& operator=(const Front&) = delete;
    const Tile& tile() const { return tile_; }

   private:
    CircularBuffer& buffer_;
    Tile tile_;
  };

  Reserved reserve() { return Reserved(*this); }
  Front front() { return Front(*this); }
  uint32_t pages() const { return pages_; }
  uint32_t occupied() const { return static_cast<uint32_t>(pushed_ - popped_); }

 private:
  static constexpr uint32_t max_pages = 16;
  Tile page(uint64_t number) const { return tiles_[number % pages_]; }

  Tile tiles_[max_pages];
  Tile contents_[max_pages];
  uint32_t pages_;
  uint64_t pushed_ = 0;
  uint64_t popped_ = 0;
};

// Arguments of a kernel that does what the values in memory decide say so: `static constexpr bool reads_contents =
// true`.
template <typename Arguments>
concept ReadsContents = Arguments::reads_contents;

// Those of such a kernel that charges what is usual where it does not know the values: `static constexpr bool
// charges_unknown = true`.
template <typename Arguments>
concept ChargesUnknown = Arguments::charges_unknown;

// Those of a kernel whose account does not depend on some of them say what remains: `void keep_sizes()`.
template <typename Arguments>
concept KeepsSizes = requires(Arguments arguments) { arguments.keep_sizes(); };

template <typename Arguments>
constexpr auto sizes_keeper() -> void (*)(void*) {
  if constexpr (KeepsSizes<Arguments>) {
    return [](void* arguments) { static_cast<Arguments*>(arguments)->keep_sizes(); };
  } else {
    return nullptr;
  }
}

// Adds a kernel to the table that cpp_kernel(name) reads; throws at start-up where two share a name.
struct CppKernelRegistration {
  CppKernelRegistration(std::string_view name, void (*entry)(ProcessingElement&, const void*), size_t argument_bytes,
                        bool reads_contents, bool charges_unknown, void (*keep_sizes)(void*));
};

#define MTIA_CPP_KERNEL(name, function, Arguments)                                                                \
  static_assert(std::is_trivially_copyable_v<Arguments>, "arguments of a C++ kernel are copied as bytes");        \
  static const ::mtia::emulator::CppKernelRegistration mtia_cpp_kernel_##function(                                \
      name,                                                                                                       \
      [](::mtia::emulator::ProcessingElement& pe, const void* arguments) {                                        \
        function(pe, *static_cast<const Arguments*>(arguments));                                                  \
      },                                                                                                          \
      sizeof(Arguments), ::mtia::emulator::ReadsContents<Arguments>, ::mtia::emulator::ChargesUnknown<Arguments>, \
      ::mtia::emulator::sizes_keeper<Arguments>())

}  // namespace mtia::emulator
