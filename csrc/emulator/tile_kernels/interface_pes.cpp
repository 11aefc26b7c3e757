// The functions of the table in which several PEs take part.
#include <algorithm>
#include <cstring>
#include <memory>

#include "base/error.h"
#include "emulator/pe/kernel_timing.h"
#include "emulator/tile_kernels/between_pes.h"
#include "emulator/tile_kernels/grid_run.h"
#include "emulator/tile_kernels/interface_calls.h"
#include "host_math/elementwise.h"

namespace mtia::emulator {
namespace {

using host_math::BinaryOp;

BinaryOp combiner(uint8_t kind, DType dtype, bool is_signed) {
  // In the order of mtia::Reduce: sum, product, max, min, maximum, minimum.
  constexpr BinaryOp of_floats[] = {BinaryOp::add_f, BinaryOp::mul_f,     BinaryOp::max_f,
                                    BinaryOp::min_f, BinaryOp::maximum_f, BinaryOp::minimum_f};
  constexpr BinaryOp of_signed[] = {BinaryOp::add_i, BinaryOp::mul_i, BinaryOp::max_s,
                                    BinaryOp::min_s, BinaryOp::max_s, BinaryOp::min_s};
  constexpr BinaryOp of_unsigned[] = {BinaryOp::add_i, BinaryOp::mul_i, BinaryOp::max_u,
                                      BinaryOp::min_u, BinaryOp::max_u, BinaryOp::min_u};
  return is_float(dtype) ? of_floats[kind] : (is_signed ? of_signed : of_unsigned)[kind];
}

uint64_t bytes_of(const Tile& tile) { return static_cast<uint64_t>(tile.elements()) * size_of(tile.dtype); }

// tile = message (combined) tile, so that the parts are combined in the order of the line.
void combine(const Tile& tile, const BetweenPes::Message& message, BinaryOp op, HostWork work) {
  if (message.dtype != tile.dtype || message.rows != tile.rows || message.columns != tile.columns) {
    throw InvalidArgument(concat("reduce_along of ", tile.rows, " x ", tile.columns, " ", name_of(tile.dtype),
                                 ", the PE before sent ", message.rows, " x ", message.columns, " ",
                                 name_of(message.dtype), " (mtia_rule_parts_of_a_reduction_must_agree)"),
                          "", "give tiles of the same extents on every PE of the line");
  }
  const host_math::BinaryLoop loop = host_math::binary_loop(op, tile.dtype);
  if (loop == nullptr) throw Unsupported(concat("reduce_along of ", name_of(tile.dtype)), "", "convert first");
  if (work == HostWork::none) return;
  const size_t row_bytes = static_cast<size_t>(tile.columns) * size_of(tile.dtype);
  for (int64_t row = 0; row < tile.rows; ++row) {
    std::byte* to = tile.at(row, 0);
    loop(to, message.data.data() + static_cast<size_t>(row) * row_bytes, to, static_cast<size_t>(tile.columns),
         host_math::BinaryMode::vector_vector);
  }
}

std::unique_ptr<BetweenPes::Message> message_of(const Tile& tile, SubCycles ready, HostWork work) {
  auto message = std::make_unique<BetweenPes::Message>();
  message->dtype = tile.dtype;
  message->rows = tile.rows;
  message->columns = tile.columns;
  message->ready = ready;
  if (work == HostWork::none) return message;
  message->data.resize(bytes_of(tile));
  const size_t row_bytes = static_cast<size_t>(tile.columns) * size_of(tile.dtype);
  for (int64_t row = 0; row < tile.rows; ++row)
    std::memcpy(message->data.data() + static_cast<size_t>(row) * row_bytes, tile.at(row, 0), row_bytes);
  return message;
}

}  // namespace

void multicast(mtia_role* handle, uint8_t along, const mtia_tile* destination, const mtia_region* source,
               mtia_line line) {
  UnitCall call(handle, "multicast", line);
  const DmaDescriptor descriptor = descriptor_of(*source);
  const Tile tile = call.memory().destination(*destination, true);
  BetweenPes& between = call.role.pe->run->between();
  const SubCycles start =
      between.meet_for_multicast(call.role, along, *source, *destination, call.unit.load_time(tile));
  call.resume();
  if (TileChecks* checks = call.role.pe->checks.get()) checks->load(call.role, *source, tile.rows, tile.columns);
  // Memory is read once, for the first of the line.
  const bool counts = between.place_in_line(call.role, along) == 0;
  const bool view = can_view(call, *destination, tile, *source);
  const Tile loaded = call.unit.dma_multicast(tile, descriptor, source->fill, view, start, counts);
  if (view) make_view(call, *destination, loaded, *source);
}

uint8_t reduce_along(mtia_role* handle, uint8_t along, uint8_t kind, uint8_t is_signed, const mtia_tile* destination,
                     mtia_line line) {
  UnitCall call(handle, "reduce_along", line);
  BetweenPes& between = call.role.pe->run->between();
  const uint32_t place = between.place_in_line(call.role, along);
  const bool last = place + 1 == between.line_length(along);
  const Tile tile = call.memory().destination(*destination, false);
  Tick tick;
  // The engine passes a tile at the rate at which it reduces; its first element arrives a pipeline's depth later.
  call.state().costs->reduction(tick, tile.dtype, static_cast<uint64_t>(tile.elements()), bytes_of(tile));
  SubCycles earliest = 0;
  std::unique_ptr<BetweenPes::Message> before;
  if (place != 0) before = between.receive(call.role, along);
  if (!last) earliest = std::max(earliest, between.room_at(call.role, along));
  call.resume();
  if (before) {
    combine(tile, *before, combiner(kind, tile.dtype, is_signed != 0), call.state().host_work);
    earliest = std::max(earliest, before->ready);
  }
  const SubCycles end = time_call(call.state(), tick, tick.duration, 0, tile.page, {}, earliest);
  if (before) between.consumed(call.role, along, end);
  if (last) return 1;
  between.send(call.role, along, message_of(tile, end + call.state().costs->issue_cost(), call.state().host_work));
  return 0;
}

void barrier(mtia_role* handle, mtia_line line) {
  Call call(handle, "barrier", line);
  GridRun& run = *call.role.pe->run;
  // What was loaded before must not change when other PEs store after the barrier.
  call.memory().copy_views();
  const SubCycles departure = run.between().barrier(call.role);
  call.resume();
  if (TileChecks* checks = call.role.pe->checks.get()) checks->waited(call.role);
  run.pack_cache(call.role).clear();
  call.role.board.wait_until(departure);
}

int64_t next_item(mtia_role* handle, uint32_t queue, int64_t items, mtia_line line) {
  Call call(handle, "next", line);
  const int64_t item = call.role.pe->run->between().next_item(call.role, queue, items);
  call.resume();
  return item;
}

}  // namespace mtia::emulator
