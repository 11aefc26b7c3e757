// Sorting of rows, each in the local memory of one PE: keys that order like the elements, and a stable sort of the
// positions.
#include "kernels/cpp/sort.h"

#include <algorithm>
#include <bit>
#include <cmath>
#include <cstring>
#include <limits>

#include "base/bit_patterns.h"
#include "base/error.h"
#include "chip/chip_spec.h"
#include "emulator/pe/processing_element.h"

namespace mtia::kernels {
namespace {

using emulator::DmaDescriptor;
using emulator::LocalScope;
using emulator::ProcessingElement;
using emulator::Tile;

// Integers in the order of the floats: both zeros are one key, every NaN the largest.
int64_t key_of_float(double value) {
  if (std::isnan(value)) return std::numeric_limits<int64_t>::max();
  const auto bits = std::bit_cast<int64_t>(value == 0.0 ? 0.0 : value);
  return bits >= 0 ? bits : std::numeric_limits<int64_t>::min() - bits;
}

template <typename T>
T element(const Tile& tile, int64_t i) {
  T value;
  std::memcpy(&value, tile.data + i * static_cast<int64_t>(sizeof(T)), sizeof(T));
  return value;
}

int64_t key_of(const Tile& tile, int64_t i, bool is_unsigned) {
  switch (tile.dtype) {
    case DType::I1:
      return element<uint8_t>(tile, i) != 0;
    case DType::I8:
      return is_unsigned ? element<uint8_t>(tile, i) : element<int8_t>(tile, i);
    case DType::I16:
      return is_unsigned ? element<uint16_t>(tile, i) : element<int16_t>(tile, i);
    case DType::I32:
      return is_unsigned ? int64_t{element<uint32_t>(tile, i)} : element<int32_t>(tile, i);
    case DType::I64:  // without its top bit an unsigned number orders as a signed one
      return element<int64_t>(tile, i) ^ (is_unsigned ? std::numeric_limits<int64_t>::min() : 0);
    case DType::F16:
      return key_of_float(f32_from_f16(element<uint16_t>(tile, i)));
    case DType::BF16:
      return key_of_float(f32_from_bf16(element<uint16_t>(tile, i)));
    case DType::F32:
      return key_of_float(element<float>(tile, i));
    case DType::F64:
      return key_of_float(element<double>(tile, i));
    case DType::F8E4M3:
      return key_of_float(f32_from_f8e4m3(element<uint8_t>(tile, i)));
    case DType::F8E5M2:
      return key_of_float(f32_from_f8e5m2(element<uint8_t>(tile, i)));
  }
  throw InternalError("sort: no such dtype");
}

void sort_row(ProcessingElement& pe, const SortArguments& arguments, int64_t row) {
  const LocalScope scope(pe);
  const auto bytes = static_cast<int64_t>(size_of(arguments.dtype));
  const uint64_t needed = static_cast<uint64_t>(arguments.length * (bytes + 16) + arguments.kept * bytes);
  if (needed > pe.local_bytes_free()) {
    throw OutOfLocalMemory(
        concat("sorting rows of ", arguments.length, " elements needs ", needed / 1024,
               " KiB of local memory, a PE of ", pe.chip().name, " has ", pe.local_bytes_free() / 1024, " KiB free"),
        "sort", "sort shorter rows, or sort on the CPU: tensor.cpu()");
  }
  const Tile source = pe.allocate(arguments.dtype, 1, arguments.length);
  const Tile keys = pe.allocate(DType::I64, 1, arguments.length);
  const Tile order = pe.allocate(DType::I64, 1, arguments.length);
  const Tile values = pe.allocate(arguments.dtype, 1, arguments.kept);
  const auto offset = static_cast<uint64_t>(row * arguments.row_stride * bytes);
  pe.dma_load(source, {arguments.source + offset, arguments.dtype, arguments.row_stride, arguments.column_stride,
                       INT64_MAX, INT64_MAX});
  pe.iota(order, 0);
  auto* key = keys.as<int64_t>();
  auto* position = order.as<int64_t>();
  for (int64_t i = 0; i < arguments.length; ++i) key[i] = key_of(source, i, arguments.is_unsigned);
  if (arguments.descending) {
    std::stable_sort(position, position + arguments.length, [key](int64_t a, int64_t b) { return key[a] > key[b]; });
  } else {
    std::stable_sort(position, position + arguments.length, [key](int64_t a, int64_t b) { return key[a] < key[b]; });
  }
  for (int64_t i = 0; i < arguments.kept; ++i)
    std::memcpy(values.data + i * bytes, source.data + position[i] * bytes, static_cast<size_t>(bytes));
  // A merge sort of the scalar core: a key, log2(length) compare-and-moves and a gather an element.
  pe.scalar_work(static_cast<uint64_t>(arguments.length) *
                 (2 + std::bit_width(static_cast<uint64_t>(arguments.length))));
  const auto out = static_cast<uint64_t>(row * arguments.kept);
  pe.dma_store(
      {arguments.values + out * static_cast<uint64_t>(bytes), arguments.dtype, arguments.kept, 1, INT64_MAX, INT64_MAX},
      values);
  pe.dma_store({arguments.indices + out * 8, DType::I64, arguments.kept, 1, INT64_MAX, INT64_MAX},
               order.slice(0, 1, 0, arguments.kept));
}

void sort(ProcessingElement& pe, const SortArguments& arguments) {
  for (int64_t row = pe.index(); row < arguments.rows; row += pe.count()) sort_row(pe, arguments, row);
}

MTIA_CPP_KERNEL("sort", sort, SortArguments);

}  // namespace
}  // namespace mtia::kernels
