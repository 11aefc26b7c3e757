// The functions of the table: handles become tiles of local memory, the units of the PE do the rest.
#include "emulator/tile_kernels/interface.h"
#include "emulator/tile_kernels/host_fault.h"

#include <algorithm>
#include <array>
#include <optional>

#include "base/error.h"
#include "emulator/inspection/call_observer.h"
#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/processing_element.h"
#include "emulator/tile_kernels/grid_run.h"
#include "emulator/tile_kernels/interface_calls.h"
#include "isa/opcode.h"

namespace mtia::emulator {
namespace {

constexpr OperationInstructions operation_table[] = {
#define MTIA_OPERATION(method, operands, of_floats, of_signed, of_unsigned) \
  {#method, operands, #of_floats, #of_signed, #of_unsigned},
#include "include/mtia/operations.def"
#undef MTIA_OPERATION
};
constexpr size_t operation_count = sizeof(operation_table) / sizeof(operation_table[0]);

struct Opcodes {
  std::optional<Opcode> of[3];  // floats, signed, unsigned
};

const std::array<Opcodes, operation_count>& operation_opcodes() {
  static const auto table = [] {
    std::array<Opcodes, operation_count> opcodes{};
    const auto find = [](std::string_view mnemonic) -> std::optional<Opcode> {
      if (mnemonic == "none") return std::nullopt;
      for (size_t i = 0; i < opcode_count; ++i) {
        if (opcode_table[i].mnemonic == mnemonic) return static_cast<Opcode>(i);
      }
      throw InternalError(concat("operations.def names the instruction ", mnemonic, ", which does not exist"));
    };
    for (size_t i = 0; i < operation_count; ++i) {
      const OperationInstructions& row = operation_table[i];
      opcodes[i] = {{find(row.of_floats), find(row.of_signed), find(row.of_unsigned)}};
    }
    return opcodes;
  }();
  return table;
}

// The device bytes between the first and the last element that `rows` x `columns` of a region touch.
AddressRange touched(const mtia_region& region, int64_t rows, int64_t columns) {
  rows = std::min(rows, region.valid_rows);
  columns = std::min(columns, region.valid_columns);
  if (rows <= 0 || columns <= 0) return {};
  const auto size = static_cast<int64_t>(size_of(static_cast<DType>(region.dtype)));
  const int64_t down = (rows - 1) * region.row_stride * size;
  const int64_t across = (columns - 1) * region.column_stride * size;
  const int64_t low = std::min<int64_t>(0, down) + std::min<int64_t>(0, across);
  const int64_t high = std::max<int64_t>(0, down) + std::max<int64_t>(0, across) + size;
  return {region.base + static_cast<uint64_t>(low), region.base + static_cast<uint64_t>(high)};
}

uint64_t bits_of(DType dtype, const mtia_operand& operand) {
  return is_float(dtype) ? bits_of_number(dtype, operand.real) : static_cast<uint64_t>(operand.integer);
}

// Operands of an element-wise call, sources before the destination: a page that was a view may stop being one.
struct Operands {
  std::array<Tile, 3> tiles;
  std::array<ProcessingElement::Operand, 3> operands;
  size_t count = 0;

  void add(UnitCall& call, const mtia_operand* operand, DType number_dtype) {
    if (operand == nullptr) return;
    if (operand->tile != nullptr) {
      tiles[count] = call.memory().source(*operand->tile);
      operands[count] = {&tiles[count], 0};
    } else {
      operands[count] = {nullptr, bits_of(number_dtype, *operand)};
    }
    ++count;
  }
  std::span<const ProcessingElement::Operand> span() const { return {operands.data(), count}; }
};

void refuse(mtia_role* handle, const char* rule, int64_t first, int64_t second, int64_t third, mtia_line line) {
  Role* role = handle != nullptr ? static_cast<Role*>(handle) : GridRun::running();
  if (role != nullptr) role->line = line;
  throw InvalidArgument(concat(rule, " (", first, ", ", second, ", ", third, ")"), "", "mend the call");
}

void poll(uint32_t blocks) {
  Role* role = GridRun::running();
  if (role == nullptr) return;
  if (role->blocks_left >= blocks) {
    role->blocks_left -= blocks;
    return;
  }
  role->pe->run->kill(
      *role,
      std::make_exception_ptr(Deadlock(
          "the role goes on without end: it passed more blocks of code than MTIA_SIM_LOOP_LIMIT allows; its last call",
          "", "check the condition that ends its loop, or raise MTIA_SIM_LOOP_LIMIT")));
}

void scalar_work(mtia_role* handle, uint64_t instructions) {
  static_cast<Role*>(handle)->board.issue_scalar(instructions);
}

void allocate(mtia_role* handle, uint8_t dtype, int64_t rows, int64_t columns, mtia_tile* result, mtia_line line) {
  Call call(handle, "allocate", line);
  *result = call.memory().handle_of(call.memory().allocate(static_cast<DType>(dtype), rows, columns));
}

uint64_t local_bytes_free(mtia_role* handle) {
  const PeState& state = *static_cast<Role*>(handle)->pe->state;
  return state.chip->local_memory_bytes - state.local_used;
}

uint32_t make_circular_buffer(mtia_role* handle, const char* name, uint8_t dtype, int64_t rows, int64_t columns,
                              uint32_t pages, mtia_line line) {
  Call call(handle, "circular buffer", line);
  return make_ring(call.role, name, dtype, rows, columns, pages, line);
}

void reserve(mtia_role* handle, uint32_t ring, uint32_t pages, mtia_tile* results, mtia_line line) {
  Call call(handle, "reserve", line);
  ring_reserve(call.role, ring, pages, results);
}

void push(mtia_role* handle, uint32_t ring, uint32_t pages, const mtia_tile* tiles, mtia_line) {
  ring_push(*static_cast<Role*>(handle), ring, pages, tiles);
}

void front(mtia_role* handle, uint32_t ring, uint32_t pages, mtia_tile* results, mtia_line line) {
  Call call(handle, "front", line);
  ring_front(call.role, ring, pages, results);
}

void pop(mtia_role* handle, uint32_t ring, uint32_t pages, const mtia_tile* tiles, mtia_line) {
  ring_pop(*static_cast<Role*>(handle), ring, pages, tiles);
}

void load(mtia_role* handle, const mtia_tile* destination, const mtia_region* source, mtia_line line) {
  UnitCall call(handle, "load", line);
  const DmaDescriptor descriptor = descriptor_of(*source);
  const Tile tile = call.memory().destination(*destination, true);
  if (TileChecks* checks = call.role.pe->checks.get()) checks->load(call.role, *source, tile.rows, tile.columns);
  if (!can_view(call, *destination, tile, *source)) return call.unit.dma_load(tile, descriptor, source->fill);
  make_view(call, *destination, call.unit.dma_view(tile, descriptor), *source);
}

// What reads those bytes in place must have its copy before they change.
void before_store(UnitCall& call, const AddressRange& range) {
  call.memory().before_store(range.begin, range.end);
  call.role.pe->run->pack_cache(call.role).before_store(range.begin, range.end);
}

void store(mtia_role* handle, const mtia_region* destination, const mtia_tile* source, mtia_line line) {
  UnitCall call(handle, "store", line);
  const DmaDescriptor descriptor = descriptor_of(*destination);
  before_store(call, touched(*destination, source->rows, source->columns));
  call.unit.dma_store(descriptor, call.memory().stored(*source, destination->valid_rows, destination->valid_columns));
  if (TileChecks* checks = call.role.pe->checks.get())
    checks->store(call.role, *destination, source->rows, source->columns);
}

// In checked mode: the rows that an indexed call loads, before it, or stores, after it.
void check_rows(UnitCall& call, const mtia_region& table, const Tile& indices, int64_t columns, bool stores) {
  TileChecks* checks = call.role.pe->checks.get();
  if (checks == nullptr) return;
  mtia_region row = table;
  row.valid_rows = 1;
  for (int64_t i = 0; i < indices.elements(); ++i) {
    row.row = indices.dtype == DType::I32 ? indices.as<int32_t>()[i] : indices.as<int64_t>()[i];
    if (row.row < 0 || row.row >= table.valid_rows) continue;  // refused by the unit
    row.base = table.base + static_cast<uint64_t>(row.row * table.row_stride) * size_of(static_cast<DType>(row.dtype));
    if (stores) {
      checks->store(call.role, row, 1, columns);
    } else {
      checks->load(call.role, row, 1, columns);
    }
  }
}

void indexed(mtia_role* handle, uint8_t kind, const mtia_tile* rows, const mtia_region* table, const mtia_tile* indices,
             mtia_line line) {
  constexpr const char* names[] = {"gather", "scatter", "scatter_add"};
  UnitCall call(handle, names[kind], line);
  descriptor_of(*table);
  if (table->column_stride != 1 || table->valid_columns < rows->columns) {
    throw InvalidArgument(concat(names[kind], " of ", rows->columns, " columns of a tensor with column stride ",
                                 table->column_stride, " and ", table->valid_columns, " columns"),
                          "", "rows are moved whole: give a tensor whose rows are contiguous and long enough");
  }
  Tile index = call.memory().source(*indices, true);
  if (index.columns == 1 && index.rows != 1) index = index.transposed();
  if (!index.contiguous()) throw InvalidArgument("indices with gaps", "", "use a dense row or column of indices");
  if (kind == 0) {
    const Tile tile = call.memory().destination(*rows, true);
    check_rows(call, *table, index, rows->columns, false);
    return call.unit.gather(tile, table->base, table->row_stride, index, table->valid_rows);
  }
  const Tile tile = call.memory().source(*rows);
  before_store(call, touched(*table, table->valid_rows, table->valid_columns));
  if (kind == 1) {
    call.unit.scatter(table->base, table->row_stride, index, table->valid_rows, tile);
    return check_rows(call, *table, index, rows->columns, true);
  }
  check_rows(call, *table, index, rows->columns, false);
  call.unit.scatter_add(table->base, table->row_stride, index, table->valid_rows, tile);
}

void dot(mtia_role* handle, const mtia_tile* d, const mtia_tile* a, const mtia_tile* b, uint8_t accumulate,
         uint8_t precision, mtia_line line) {
  UnitCall call(handle, "dot", line);
  bool left_viewed = false;
  bool right_viewed = false;
  const Tile left = call.memory().source(*a, true, &left_viewed);
  const Tile right = call.memory().source(*b, true, &right_viewed);
  const Tile sum = call.memory().destination(*d, accumulate == 0);
  if (right_viewed && sum.column_stride == 1 && call.state().host_work != HostWork::none) {
    PackCache& cache = call.role.pe->run->pack_cache(call.role);
    const auto packed = [&](PackCache::Side side, const Tile& tile, uint32_t page) {
      return cache.find(side, tile, call.memory().page(page).low, call.memory().page(page).high);
    };
    if (const std::byte* packed_b = packed(PackCache::Side::right, right, b->page); packed_b != nullptr) {
      const std::byte* packed_a = left_viewed ? packed(PackCache::Side::left, left, a->page) : nullptr;
      if (call.state().calls != nullptr) call.state().calls->pack(call.state(), right, packed_b);
      const PackedTile operand{packed_b, right.dtype, right.page, right.rows, right.columns};
      return call.unit.dot(sum, left, operand, accumulate != 0, precision, packed_a);
    }
  }
  call.unit.dot(sum, left, right, accumulate != 0, precision);
}

void elementwise(mtia_role* handle, uint32_t operation, uint8_t is_signed, const mtia_tile* d, const mtia_operand* a,
                 const mtia_operand* b, const mtia_operand* c, mtia_line line) {
  UnitCall call(handle, operation < operation_count ? operation_table[operation].name : "operation", line);
  const auto dtype = static_cast<DType>(d->dtype);
  const auto opcode = operation < operation_count
                          ? operation_opcodes()[operation].of[is_float(dtype) ? 0 : (is_signed != 0 ? 1 : 2)]
                          : std::nullopt;
  if (!opcode) throw Unsupported(concat("no such operation on ", name_of(dtype)), "", "convert first");
  Operands operands;
  for (const mtia_operand* operand : {a, b, c}) operands.add(call, operand, dtype);
  call.unit.elementwise(*opcode, 0, dtype, call.memory().destination(*d, true), operands.span());
}

void compare(mtia_role* handle, uint8_t relation, uint8_t is_signed, const mtia_tile* d, const mtia_tile* a,
             const mtia_operand* b, mtia_line line) {
  // Numbers of MLIR's predicates, in the order of mtia::Compare.
  constexpr int64_t of_floats[] = {1, 13, 4, 5, 2, 3};
  constexpr int64_t of_signed[] = {0, 1, 2, 3, 4, 5};
  constexpr int64_t of_unsigned[] = {0, 1, 6, 7, 8, 9};
  UnitCall call(handle, "compare", line);
  const auto dtype = static_cast<DType>(a->dtype);
  const mtia_operand first{a, 0, 0};
  Operands operands;
  operands.add(call, &first, dtype);
  operands.add(call, b, dtype);
  const int64_t predicate = is_float(dtype)  ? of_floats[relation]
                            : is_signed != 0 ? of_signed[relation]
                                             : of_unsigned[relation];
  call.unit.elementwise(is_float(dtype) ? Opcode::compare_f : Opcode::compare_i, predicate, dtype,
                        call.memory().destination(*d, true), operands.span());
}

void select(mtia_role* handle, const mtia_tile* d, const mtia_tile* condition, const mtia_operand* a,
            const mtia_operand* b, mtia_line line) {
  UnitCall call(handle, "select", line);
  const auto dtype = static_cast<DType>(d->dtype);
  const mtia_operand first{condition, 0, 0};
  Operands operands;
  operands.add(call, &first, DType::I1);
  operands.add(call, a, dtype);
  operands.add(call, b, dtype);
  call.unit.elementwise(Opcode::select, 0, dtype, call.memory().destination(*d, true), operands.span());
}

void convert(mtia_role* handle, const mtia_tile* d, const mtia_tile* a, uint8_t is_signed, mtia_line line) {
  UnitCall call(handle, "convert", line);
  const Tile source = call.memory().source(*a, a->dtype == d->dtype);
  call.unit.convert(call.memory().destination(*d, true), source, is_signed != 0);
}

void fill(mtia_role* handle, const mtia_tile* d, const mtia_operand* value, mtia_line line) {
  UnitCall call(handle, "fill", line);
  const auto dtype = static_cast<DType>(d->dtype);
  call.unit.fill_bits(call.memory().destination(*d, true), bits_of(dtype, *value));
}

void iota(mtia_role* handle, const mtia_tile* d, int64_t start, mtia_line line) {
  UnitCall call(handle, "iota", line);
  call.unit.iota(call.memory().destination(*d, true), start);
}

void random(mtia_role* handle, uint8_t kind, const mtia_tile* d, uint64_t seed, uint64_t stream, uint64_t first,
            mtia_line line) {
  UnitCall call(handle, "random", line);
  if (first % 4 != 0)
    throw InvalidArgument(concat("random numbers from element ", first, " on"), "", "use a multiple of 4");
  call.unit.philox(static_cast<ProcessingElement::Random>(kind), call.memory().destination(*d, true), seed, stream,
                   first);
}

ReduceKind reduce_kind(uint8_t kind, DType dtype, bool is_signed) {
  // In the order of mtia::Reduce: sum, product, max, min, maximum, minimum.
  constexpr uint8_t of_floats[] = {0, 1, 2, 3, 4, 5};
  constexpr uint8_t of_signed[] = {6, 7, 8, 10, 8, 10};
  constexpr uint8_t of_unsigned[] = {6, 7, 9, 11, 9, 11};
  return static_cast<ReduceKind>(is_float(dtype) ? of_floats[kind] : (is_signed ? of_signed : of_unsigned)[kind]);
}

void reduce(mtia_role* handle, uint8_t kind, uint8_t is_signed, const mtia_tile* d, const mtia_tile* a,
            mtia_line line) {
  UnitCall call(handle, "reduce", line);
  const Tile source = call.memory().source(*a);
  const Tile result = call.memory().destination(*d, true);
  const int axis = result.rows == source.rows && result.columns == 1 ? 1 : 0;
  call.unit.reduce(reduce_kind(kind, source.dtype, is_signed != 0), result, source, axis);
}

void transpose(mtia_role* handle, const mtia_tile* d, const mtia_tile* a, mtia_line line) {
  UnitCall call(handle, "transpose", line);
  const Tile source = call.memory().source(*a, true);
  call.unit.permute(call.memory().destination(*d, true), source);
}

// A tile of the one element that the scalar core reads.
Tile element(UnitCall& call, const mtia_tile& tile, int64_t row, int64_t column) {
  if (row < 0 || row >= tile.rows || column < 0 || column >= tile.columns) {
    throw OutOfBounds(concat("element (", row, ", ", column, ") of a tile of ", tile.rows, " x ", tile.columns), "",
                      "read an element inside of the tile");
  }
  mtia_tile one = tile;
  one.offset += row * tile.row_stride + column * tile.column_stride;
  one.rows = one.columns = 1;
  return call.memory().source(one, true);
}

double read(mtia_role* handle, const mtia_tile* tile, int64_t row, int64_t column, mtia_line line) {
  UnitCall call(handle, "read", line);
  return call.unit.read(element(call, *tile, row, column), 0, 0);
}

int64_t read_integer(mtia_role* handle, const mtia_tile* tile, int64_t row, int64_t column, mtia_line line) {
  UnitCall call(handle, "read", line);
  return call.unit.read_integer(element(call, *tile, row, column), 0, 0);
}

}  // namespace

DmaDescriptor descriptor_of(const mtia_region& region) {
  if (region.row < 0 || region.column < 0) {
    throw OutOfBounds(concat("a region begins at (", region.row, ", ", region.column, ") of its tensor"), "",
                      "indices begin at 0");
  }
  return {.base = region.base,
          .dtype = static_cast<DType>(region.dtype),
          .row_stride = region.row_stride,
          .column_stride = region.column_stride,
          .valid_rows = region.valid_rows,
          .valid_columns = region.valid_columns};
}

bool can_view(UnitCall& call, const mtia_tile& destination, const Tile& tile, const mtia_region& source) {
  return source.valid_rows >= tile.rows && source.valid_columns >= tile.columns &&
         call.memory().is_whole_page(destination) && source.base % size_of(tile.dtype) == 0;
}

void make_view(UnitCall& call, const mtia_tile& destination, const Tile& view, const mtia_region& source) {
  const AddressRange range = touched(source, view.rows, view.columns);
  call.memory().make_view(destination, view, range.begin, range.end);
}

std::span<const OperationInstructions> tile_operations() { return operation_table; }

const mtia_api& tile_kernel_api() {
  static const mtia_api api{
      .version = MTIA_ABI_VERSION,
      .size = sizeof(mtia_api),
      .refuse = &refuse,
      .poll = &poll,
      .scalar_work = &scalar_work,
      .allocate = &allocate,
      .local_bytes_free = &local_bytes_free,
      .make_circular_buffer = &make_circular_buffer,
      .reserve = &reserve,
      .push = &push,
      .front = &front,
      .pop = &pop,
      .load = &load,
      .store = &store,
      .indexed = &indexed,
      .dot = &dot,
      .elementwise = &elementwise,
      .compare = &compare,
      .select = &select,
      .convert = &convert,
      .fill = &fill,
      .iota = &iota,
      .random = &random,
      .reduce = &reduce,
      .transpose = &transpose,
      .read = &read,
      .read_integer = &read_integer,
      .multicast = &multicast,
      .reduce_along = &reduce_along,
      .barrier = &barrier,
      .next_item = &next_item,
      .give_up = &give_up,
  };
  operation_opcodes();
  return api;
}

}  // namespace mtia::emulator
