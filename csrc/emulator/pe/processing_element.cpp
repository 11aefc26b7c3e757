// Local memory, DMA, layout and control of the C++ kernel API; arithmetic.cpp beside it holds the units that compute.
#include "emulator/pe/processing_element.h"

#include <algorithm>
#include <cstring>
#include <map>
#include <string>

#include "base/error.h"
#include "emulator/inspection/access_listener.h"
#include "emulator/inspection/call_observer.h"
#include "emulator/pe/fabric_interface/atomics.h"
#include "emulator/pe/fabric_interface/dma.h"
#include "emulator/pe/fabric_interface/logged_access.h"
#include "emulator/pe/kernel_timing.h"
#include "emulator/pe/memory_layout_unit/strided_copy.h"
#include "emulator/pe/pe_state.h"
#include "emulator/pe/tile_bytes.h"
#include "emulator/timing_mode/known_memory.h"
#include "emulator/timing_mode/shared_work.h"
#include "host_math/elementwise.h"

namespace mtia::emulator {
namespace {

std::map<std::string_view, CppKernel>& kernel_table() {
  static std::map<std::string_view, CppKernel> table;
  return table;
}

// The descriptor as a rank-2 access, clipped and bounds-checked.
DmaAccess resolve_matrix(PeState& pe, const DmaDescriptor& descriptor, int64_t rows, int64_t columns,
                         Access direction) {
  DmaAccess access;
  const auto size = static_cast<int64_t>(size_of(descriptor.dtype));
  access.extent[0] = std::clamp<int64_t>(descriptor.valid_rows, 0, rows);
  access.extent[1] = std::clamp<int64_t>(descriptor.valid_columns, 0, columns);
  access.stride[0] = descriptor.row_stride * size;
  access.stride[1] = descriptor.column_stride * size;
  access.elements = static_cast<uint64_t>(access.extent[0] * access.extent[1]);
  access.full = access.extent[0] == rows && access.extent[1] == columns;
  access.address = descriptor.base;
  if (access.elements == 0) return access;
  const int64_t row_reach = (access.extent[0] - 1) * access.stride[0];
  const int64_t column_reach = (access.extent[1] - 1) * access.stride[1];
  access.low =
      descriptor.base + static_cast<uint64_t>(std::min<int64_t>(0, row_reach) + std::min<int64_t>(0, column_reach));
  access.high = descriptor.base +
                static_cast<uint64_t>(std::max<int64_t>(0, row_reach) + std::max<int64_t>(0, column_reach)) +
                static_cast<uint64_t>(size);
  if (pe.log != nullptr)
    log_matrix(pe, access, static_cast<uint64_t>(size),
               direction == Access::write ? AccessKind::write : AccessKind::read);
  pe.span(access.low, access.high, direction);
  if (pe.journal != nullptr) tell_listener(pe, access, 2, descriptor.dtype, direction == Access::write, false);
  access.host = pe.memory->backing_of(descriptor.base);
  return access;
}

StridedBox matrix_box(const DmaAccess& access, const Tile& tile, bool load) {
  const auto size = static_cast<int64_t>(size_of(tile.dtype));
  StridedBox box;
  box.rank = 2;
  box.extent[0] = access.extent[0];
  box.extent[1] = access.extent[1];
  for (size_t d = 0; d < 2; ++d) {
    const int64_t local = (d == 0 ? tile.row_stride : tile.column_stride) * size;
    box.to_stride[d] = load ? local : access.stride[d];
    box.from_stride[d] = load ? access.stride[d] : local;
  }
  return box;
}

// `readers` share one read of the SRAM; 0: no traffic is counted.
void count_load(PeState& pe, const Tile& tile, const DmaAccess& access, uint32_t readers, SubCycles earliest = 0) {
  Tick tick;
  pe.costs->fabric(tick, static_cast<uint64_t>(tile.elements()) * size_of(tile.dtype), false);
  const TransferCost cost = transfer_cost(pe, access, 2, static_cast<uint32_t>(size_of(tile.dtype)));
  SubCycles latency = 0;
  if (access.elements != 0) {
    if (readers != 0) pe.count_read(access.low, access.high, (cost.bytes + readers - 1) / readers);
    latency = pe.load_latency();
  }
  time_call(pe, tick, cost.duration, latency, tile.page, {}, earliest);
}

// Whether the values of [low, high) are those that they would be in functional mode.
bool is_known(PeState& pe, uint64_t low, uint64_t high) {
  if (pe.timed.known == nullptr) return true;
  pe.timed.reads_contents = true;
  if (pe.timed.known->covers({low, high})) return true;
  pe.timed.uses_stand_ins = true;
  return false;
}

// The functional part of a load: `fill_value` where the access is clipped, 0 for what timing mode does not know.
void read_into(PeState& pe, const Tile& destination, const DmaAccess& access, double fill_value) {
  if (pe.host_work == HostWork::none) return;
  if (!access.full) {
    const uint64_t bits = bits_of_number(destination.dtype, fill_value);
    for (int64_t row = 0; row < destination.rows; ++row) {
      if (destination.column_stride == 1) {
        host_math::fill(destination.at(row, 0), &bits, size_of(destination.dtype),
                        static_cast<size_t>(destination.columns));
      } else {
        for (int64_t column = 0; column < destination.columns; ++column)
          std::memcpy(destination.at(row, column), &bits, size_of(destination.dtype));
      }
    }
  }
  if (access.elements == 0) return;
  if (is_known(pe, access.low, access.high)) {
    copy_box(matrix_box(access, destination, true), destination.data, access.host, size_of(destination.dtype));
    return;
  }
  static constexpr uint64_t zero = 0;
  StridedBox box = matrix_box(access, destination, true);
  box.from_stride = {};
  copy_box(box, destination.data, reinterpret_cast<const std::byte*>(&zero), size_of(destination.dtype));
}

Tile view_of(const Tile& page_of, const DmaDescriptor& source, std::byte* memory) {
  Tile view = page_of;
  view.data = memory;
  view.row_stride = source.row_stride;
  view.column_stride = source.column_stride;
  return view;
}

}  // namespace

CppKernelRegistration::CppKernelRegistration(std::string_view name, void (*entry)(ProcessingElement&, const void*),
                                             size_t argument_bytes, bool reads_contents, bool charges_unknown,
                                             void (*keep_sizes)(void*)) {
  const CppKernel kernel{name, entry, argument_bytes, reads_contents, charges_unknown, keep_sizes};
  if (!kernel_table().emplace(name, kernel).second) throw InternalError(concat("two C++ kernels are named ", name));
}

std::vector<std::string_view> cpp_kernel_names() {
  std::vector<std::string_view> names;
  for (const auto& [name, kernel] : kernel_table()) names.push_back(name);
  return names;
}

const CppKernel& cpp_kernel(std::string_view name) {
  const auto found = kernel_table().find(name);
  if (found != kernel_table().end()) return found->second;
  std::string known;
  for (const std::string_view other : cpp_kernel_names()) known.append(known.empty() ? "" : ", ").append(other);
  throw InvalidArgument(concat("no C++ kernel is named ", name), "", "the kernels are: " + known);
}

const ChipSpec& ProcessingElement::chip() const { return *state_->chip; }

bool ProcessingElement::shares_work() const { return state_->shared_work != nullptr; }

bool ProcessingElement::is_done_elsewhere(std::vector<int64_t>&& calls, std::span<const AddressRange> touched) {
  return shares_work() && state_->shared_work->is_done_elsewhere(*state_, std::move(calls), touched);
}

uint64_t ProcessingElement::local_bytes_free() const { return state_->chip->local_memory_bytes - state_->local_used; }

Tile ProcessingElement::allocate(DType dtype, int64_t rows, int64_t columns) {
  if (rows < 0 || columns < 0) throw InvalidArgument(concat("allocate of ", rows, " x ", columns, " elements"));
  const WideBytes wanted = tile_bytes(dtype, rows, columns);
  if (wanted > local_bytes_free()) {
    throw OutOfLocalMemory(concat("a tile of ", rows, " x ", columns, " ", name_of(dtype), " needs ", decimal(wanted),
                                  " bytes of local memory, ", local_bytes_free(), " of the ",
                                  state_->chip->local_memory_bytes, " of a PE of ", state_->chip->name, " are free"),
                           "", "use smaller tiles or fewer pages");
  }
  Tile tile;
  tile.data = state_->local + state_->local_used;
  tile.dtype = dtype;
  tile.page = static_cast<uint32_t>(state_->pages.size());
  tile.rows = rows;
  tile.columns = columns;
  tile.row_stride = columns;
  state_->pages.push_back({0, state_->page_floor});
  state_->local_used += static_cast<uint64_t>(wanted);
  return tile;
}

LocalScope::LocalScope(ProcessingElement& pe) : pe_(pe), mark_(pe.state_->local_used) {}

LocalScope::~LocalScope() {
  // Pages stay on the list so that numbers remain valid; whoever takes the memory next waits for all of them.
  for (const PageTime& page : pe_.state_->pages)
    pe_.state_->page_floor = std::max(pe_.state_->page_floor, std::max(page.ready, page.release));
  pe_.state_->local_used = mark_;
}

void ProcessingElement::dma_load(const Tile& destination, const DmaDescriptor& source, double fill_value) {
  check_same_dtype("dma_load", destination, source.dtype);
  const CallNote note(*state_, "dma_load", {}, destination, {});
  const DmaAccess access = resolve_matrix(*state_, source, destination.rows, destination.columns, Access::read);
  read_into(*state_, destination, access, fill_value);
  count_load(*state_, destination, access, source.readers);
}

Tile ProcessingElement::dma_view(const Tile& page_of, const DmaDescriptor& source) {
  check_same_dtype("dma_view", page_of, source.dtype);
  if (source.valid_rows < page_of.rows || source.valid_columns < page_of.columns) {
    dma_load(page_of, source);
    return page_of;
  }
  const DmaAccess access = resolve_matrix(*state_, source, page_of.rows, page_of.columns, Access::read);
  if (state_->host_work == HostWork::all_but_stores && !is_known(*state_, access.low, access.high)) {
    read_into(*state_, page_of, access, 0);
    count_load(*state_, page_of, access, source.readers);
    return page_of;
  }
  count_load(*state_, page_of, access, source.readers);
  return access.elements == 0 ? page_of : view_of(page_of, source, access.host);
}

Tile ProcessingElement::store_view(const Tile& tile, const DmaDescriptor& destination) const {
  check_same_dtype("store_view", tile, destination.dtype);
  if (state_->calls != nullptr || state_->log != nullptr || state_->journal != nullptr || tile.elements() == 0 ||
      state_->host_work != HostWork::all)
    return tile;
  const int64_t elements = (tile.rows - 1) * destination.row_stride + tile.columns;
  if (destination.row_stride < tile.columns ||
      !state_->reachable(destination.base, destination.base + static_cast<uint64_t>(elements) * size_of(tile.dtype)))
    return tile;
  return view_of(tile, destination, state_->memory->backing_of(destination.base));
}

SubCycles ProcessingElement::load_time(const Tile& destination) const {
  Tick tick;
  state_->costs->fabric(tick, 0, false);
  const PageTime& page = state_->pages[destination.page];
  return std::max({state_->issuing->earliest(tick), page.ready, page.release});
}

Tile ProcessingElement::dma_multicast(const Tile& destination, const DmaDescriptor& source, double fill, bool view,
                                      SubCycles start, bool counts_traffic) {
  check_same_dtype("multicast", destination, source.dtype);
  const DmaAccess access = resolve_matrix(*state_, source, destination.rows, destination.columns, Access::read);
  const bool viewed = view && access.full && access.elements != 0;
  if (!viewed) read_into(*state_, destination, access, fill);
  count_load(*state_, destination, access, counts_traffic ? source.readers : 0, start);
  return viewed ? view_of(destination, source, access.host) : destination;
}

void ProcessingElement::dma_store(const DmaDescriptor& destination, const Tile& source) {
  check_same_dtype("dma_store", source, destination.dtype);
  if (state_->calls != nullptr) state_->calls->store(*state_, source);
  const DmaAccess access = resolve_matrix(*state_, destination, source.rows, source.columns, Access::write);
  const bool is_made = access.host == source.data;  // by a store_view
  if (access.elements != 0 && !is_made && state_->host_work == HostWork::all)
    copy_box(matrix_box(access, source, false), access.host, source.data, size_of(source.dtype));
  Tick tick;
  state_->costs->fabric(tick, static_cast<uint64_t>(source.elements()) * size_of(source.dtype), true);
  const TransferCost cost = transfer_cost(*state_, access, 2, static_cast<uint32_t>(size_of(source.dtype)));
  if (access.elements != 0) state_->count_write(access.low, access.high, cost.bytes);
  time_call(*state_, tick, cost.duration, 0, no_page, {source.page});
}

namespace {

// Rows by index: calls body(row, host pointer of the device row) in order, and accounts for the traffic.
template <typename Body>
void for_indexed_rows(ProcessingElement& pe, const char* call, uint64_t base, int64_t row_stride, const Tile& indices,
                      int64_t limit, const Tile& rows, bool read, bool write, const Body& body) {
  PeState& state = pe.state();
  if (state.host_work == HostWork::none) throw NeedsValues{};
  if (indices.elements() != rows.rows || !indices.contiguous() ||
      (indices.dtype != DType::I32 && indices.dtype != DType::I64)) {
    throw InvalidArgument(
        concat(call, " of ", rows.rows, " rows with ", indices.elements(), " indices of ", name_of(indices.dtype)), "",
        "give one i32 or i64 index a row");
  }
  const auto row_bytes = static_cast<uint64_t>(rows.columns) * size_of(rows.dtype);
  const uint64_t access_bytes = state.costs->access_bytes();
  const uint64_t counted = (row_bytes + access_bytes - 1) / access_bytes * access_bytes;
  const AccessKind kind = read && write ? AccessKind::atomic : (write ? AccessKind::write : AccessKind::read);
  const uint32_t place = state.log != nullptr ? place_of(state) : 0;
  for (int64_t row = 0; row < rows.rows; ++row) {
    const int64_t index = indices.dtype == DType::I32 ? indices.as<int32_t>()[row] : indices.as<int64_t>()[row];
    if (index < 0 || index >= limit) {
      throw OutOfBounds(concat("index ", index, " of row ", row, " lies outside of 0 to ", limit - 1), "",
                        "check the indices");
    }
    if (row_bytes == 0) continue;
    const uint64_t address = base + static_cast<uint64_t>(index * row_stride) * size_of(rows.dtype);
    if (state.log != nullptr) {
      RowCollector collector(*state.log, kind, place);
      collector.add(address, row_bytes);
      collector.finish();
    }
    std::byte* host = state.span(address, address + row_bytes, write ? Access::write : Access::read);
    if (state.journal != nullptr) {
      if (read) state.journal->touch(address, address + row_bytes, false, rows.dtype);
      if (write) state.journal->touch(address, address + row_bytes, true, rows.dtype);
      if (write) state.journal->overwrite(address, address + row_bytes);
    }
    if (read) state.count_read(address, address + row_bytes, counted);
    if (write) state.count_write(address, address + row_bytes, counted);
    if (!write || state.host_work == HostWork::all) body(row, host);
  }
}

}  // namespace

void ProcessingElement::gather(const Tile& destination, uint64_t base, int64_t row_stride, const Tile& indices,
                               int64_t limit) {
  check_dense_rows("gather", destination);
  const CallNote note(*state_, "gather", {}, destination, {});
  const size_t row_bytes = static_cast<size_t>(destination.columns) * size_of(destination.dtype);
  for_indexed_rows(*this, "gather", base, row_stride, indices, limit, destination, true, false,
                   [&](int64_t row, const std::byte* host) { std::memcpy(destination.at(row, 0), host, row_bytes); });
  Tick tick;
  state_->costs->fabric(tick, row_bytes * static_cast<uint64_t>(destination.rows), false);
  const SubCycles duration =
      state_->costs->indexed_transfer(CostModel::Indexed::gather, row_bytes * static_cast<uint64_t>(destination.rows),
                                      static_cast<uint64_t>(destination.rows));
  time_call(*state_, tick, duration, state_->windows.empty() ? 0 : state_->load_latency(), destination.page,
            {indices.page});
}

void ProcessingElement::scatter(uint64_t base, int64_t row_stride, const Tile& indices, int64_t limit,
                                const Tile& source) {
  check_dense_rows("scatter", source);
  if (state_->calls != nullptr) state_->calls->store(*state_, source);
  const size_t row_bytes = static_cast<size_t>(source.columns) * size_of(source.dtype);
  for_indexed_rows(*this, "scatter", base, row_stride, indices, limit, source, false, true,
                   [&](int64_t row, std::byte* host) { std::memcpy(host, source.at(row, 0), row_bytes); });
  Tick tick;
  state_->costs->fabric(tick, row_bytes * static_cast<uint64_t>(source.rows), true);
  const SubCycles duration = state_->costs->indexed_transfer(
      CostModel::Indexed::scatter, row_bytes * static_cast<uint64_t>(source.rows), static_cast<uint64_t>(source.rows));
  time_call(*state_, tick, duration, 0, no_page, {indices.page, source.page});
}

void ProcessingElement::scatter_add(uint64_t base, int64_t row_stride, const Tile& indices, int64_t limit,
                                    const Tile& source) {
  check_dense_rows("scatter_add", source);
  if (state_->calls != nullptr) state_->calls->store(*state_, source);
  const size_t size = size_of(source.dtype);
  const AtomicKind kind = is_float(source.dtype) ? AtomicKind::add_f : AtomicKind::add_i;
  for_indexed_rows(*this, "scatter_add", base, row_stride, indices, limit, source, true, true,
                   [&](int64_t row, std::byte* host) {
                     for (int64_t column = 0; column < source.columns; ++column) {
                       uint64_t bits = 0;
                       std::memcpy(&bits, source.at(row, column), size);
                       atomic_update(host + static_cast<size_t>(column) * size, source.dtype, kind, bits);
                     }
                   });
  Tick tick;
  const uint64_t bytes = static_cast<uint64_t>(source.elements()) * size;
  state_->costs->fabric(tick, bytes, false);
  time_call(*state_, tick,
            state_->costs->indexed_transfer(CostModel::Indexed::atomic, 2 * bytes, static_cast<uint64_t>(source.rows)),
            0, no_page, {indices.page, source.page});
}

void ProcessingElement::permute(const Tile& d, const Tile& a) {
  check_same_dtype("permute", a, d.dtype);
  if (d.rows != a.columns || d.columns != a.rows)
    throw InvalidArgument(concat("permute of ", a.rows, " x ", a.columns, " into ", d.rows, " x ", d.columns));
  const CallNote note(*state_, "permute", {}, d, {CallInput{&a}});
  const auto size = static_cast<int64_t>(size_of(d.dtype));
  StridedBox box;
  box.rank = 2;
  box.extent = {d.rows, d.columns};
  box.to_stride = {d.row_stride * size, d.column_stride * size};
  box.from_stride = {a.column_stride * size, a.row_stride * size};
  if (state_->host_work != HostWork::none) copy_box(box, d.data, a.data, size_of(d.dtype));
  Tick tick;
  state_->costs->layout(tick, static_cast<uint64_t>(d.elements()) * size_of(d.dtype));
  time_call(*state_, tick, tick.duration, tick.latency, d.page, {a.page});
}

void ProcessingElement::scalar_work(uint64_t instructions) { state_->issuing->issue_scalar(instructions); }

CircularBuffer::CircularBuffer(ProcessingElement& pe, DType dtype, int64_t rows, int64_t columns, uint32_t pages)
    : pages_(pages) {
  if (pages == 0 || pages > max_pages)
    throw InvalidArgument(concat("a circular buffer of ", pages, " pages"), "", concat("use 1 to ", max_pages));
  for (uint32_t i = 0; i < pages; ++i) tiles_[i] = contents_[i] = pe.allocate(dtype, rows, columns);
}

CircularBuffer::Reserved::Reserved(CircularBuffer& buffer) : buffer_(buffer) {
  if (buffer.occupied() == buffer.pages_) {
    throw Deadlock(concat("reserve on a circular buffer whose ", buffer.pages_, " pages are all pushed"), "",
                   "pop a page first, or use more pages");
  }
  tile_ = buffer.page(buffer.pushed_);
  buffer.contents_[buffer.pushed_ % buffer.pages_] = tile_;
}

void CircularBuffer::Reserved::set(const Tile& view) {
  tile_ = view;
  buffer_.contents_[buffer_.pushed_ % buffer_.pages_] = view;
}

CircularBuffer::Reserved::~Reserved() { ++buffer_.pushed_; }

CircularBuffer::Front::Front(CircularBuffer& buffer) : buffer_(buffer) {
  if (buffer.occupied() == 0) throw Deadlock("front of a circular buffer with nothing pushed", "", "push a page first");
  tile_ = buffer.contents_[buffer.popped_ % buffer.pages_];
}

CircularBuffer::Front::~Front() { ++buffer_.popped_; }

}  // namespace mtia::emulator
