// Operands packed once a launch: found again, by any thread, until what they were packed from is written.
#include "emulator/pe/dot_product_engine/operand_packs.h"

#include <cstring>
#include <thread>
#include <vector>

#include "host_math/dot.h"
#include "host_math/samples.h"
#include "test.h"

namespace mtia::emulator {
namespace {

using Side = OperandPacks::Side;

struct Memory {
  std::vector<float> values = std::vector<float>(64 * 64);
  Tile tile(int64_t row, int64_t rows) {
    Tile tile;
    tile.data = reinterpret_cast<std::byte*>(values.data() + row * 64);
    tile.dtype = DType::F32;
    tile.rows = rows;
    tile.columns = 64;
    tile.row_stride = 64;
    return tile;
  }
  const std::byte* at(int64_t row) { return tile(row, 1).data; }
};

std::vector<std::byte> packed_apart(Side side, const Tile& tile) {
  const auto rows = static_cast<size_t>(tile.rows);
  const auto columns = static_cast<size_t>(tile.columns);
  std::vector<std::byte> packed(side == Side::left ? host_math::packed_a_bytes(tile.dtype, rows, columns)
                                                   : host_math::packed_b_bytes(tile.dtype, rows, columns));
  (side == Side::left ? host_math::pack_a : host_math::pack_b)(tile.dtype, packed.data(),
                                                               {tile.data, tile.row_stride, tile.column_stride}, rows,
                                                               columns, host_math::selected_isa());
  return packed;
}

TEST("an operand is packed once, and again after a write of any of its bytes") {
  Memory memory;
  for (size_t i = 0; i < memory.values.size(); ++i) memory.values[i] = static_cast<float>(i);
  OperandPacks packs;
  const Tile tile = memory.tile(8, 16);
  const std::byte* right = packs.find(Side::right, tile);
  const std::byte* left = packs.find(Side::left, tile);
  CHECK(right != nullptr && left != nullptr && right != left);
  CHECK(reinterpret_cast<uintptr_t>(right) % 64 == 0 && reinterpret_cast<uintptr_t>(left) % 64 == 0);
  packs.wrote(memory.at(0), memory.at(8));    // ends where the operand begins
  packs.wrote(memory.at(24), memory.at(64));  // begins where it ends
  CHECK(packs.find(Side::right, tile) == right);
  CHECK(packs.find(Side::left, tile) == left);
  CHECK(packs.find(Side::right, memory.tile(8, 15)) != right);

  memory.values[23 * 64] = -1;
  packs.wrote(memory.at(23), memory.at(23) + sizeof(float));
  const std::byte* again = packs.find(Side::right, tile);
  CHECK(again != right);
  const std::vector<std::byte> expected = packed_apart(Side::right, tile);
  CHECK(std::memcmp(again, expected.data(), expected.size()) == 0);
  const std::vector<std::byte> expected_left = packed_apart(Side::left, tile);
  CHECK(std::memcmp(packs.find(Side::left, tile), expected_left.data(), expected_left.size()) == 0);
}

TEST("threads share what one of them packs") {
  Memory memory;
  OperandPacks packs;
  for (int round = 0; round < 50; ++round) {
    std::vector<const std::byte*> found(4);
    std::vector<std::thread> threads;
    for (size_t t = 0; t < found.size(); ++t)
      threads.emplace_back([&, t] { found[t] = packs.find(Side::right, memory.tile(round % 8, 32)); });
    for (std::thread& thread : threads) thread.join();
    for (const std::byte* packed : found) CHECK(packed != nullptr && packed == found[0]);
    if (round % 8 == 7) packs.clear();
  }
}

// Layouts whose parts are whole panels (rows adjacent) and some values of k (columns adjacent, as the side sees it).
TEST("operands that threads packed together hold what lies in memory, however reads and writes alternate") {
  constexpr int64_t width = 600;
  std::vector<float> values(width * width);
  for (size_t i = 0; i < values.size(); ++i) values[i] = static_cast<float>(i % 8191);
  OperandPacks packs;
  test::RandomBits random(5);
  size_t compared = 0;
  for (int round = 0; round < 300; ++round) {
    const auto below = [&](uint64_t bound) { return static_cast<int64_t>(random.next() % bound); };
    const Side side = below(2) == 0 ? Side::left : Side::right;
    Tile tile;
    tile.rows = 1 + below(width / 2);
    tile.columns = 1 + below(width / 2);
    tile.data = reinterpret_cast<std::byte*>(values.data() + below(4) * 37 * width + below(4) * 41);
    tile.row_stride = width;
    if (below(2) == 0) tile = tile.transposed();
    std::vector<const std::byte*> found(3);
    std::vector<std::thread> threads;
    for (const std::byte*& each : found) threads.emplace_back([&] { each = packs.find(side, tile); });
    for (std::thread& thread : threads) thread.join();
    const std::vector<std::byte> expected = packed_apart(side, tile);
    for (const std::byte* packed : found) {
      if (packed == nullptr) continue;
      CHECK(std::memcmp(packed, expected.data(), expected.size()) == 0);
      ++compared;
    }
    const size_t first = static_cast<size_t>(below(values.size() - 900));
    const size_t count = 1 + static_cast<size_t>(below(900));
    for (size_t i = first; i < first + count; ++i) values[i] = -values[i];
    const auto* low = reinterpret_cast<const std::byte*>(values.data() + first);
    packs.wrote(low, low + count * sizeof(float));
    if (round % 40 == 39) packs.clear();
  }
  CHECK(compared == 900);
}

TEST("a launch that asks for nothing twice stops packing aside") {
  std::vector<float> values(2000);
  OperandPacks packs;
  size_t packed = 0;
  for (size_t i = 0; i < 1000; ++i) {
    Tile tile;
    tile.data = reinterpret_cast<std::byte*>(values.data() + i);
    tile.rows = tile.columns = 4;
    tile.row_stride = 4;
    packed += packs.find(Side::right, tile) != nullptr ? 1 : 0;
  }
  CHECK(packed < 500);
  packs.clear();
  Memory memory;
  CHECK(packs.find(Side::right, memory.tile(0, 8)) != nullptr);
}

}  // namespace
}  // namespace mtia::emulator
