// The bytes of tiles whose extents a kernel may have got wrong by any factor: exact in 128 bits, or the largest number.
#include "emulator/pe/tile_bytes.h"

#include <limits>

#include "test.h"

namespace mtia::emulator {
namespace {

constexpr int64_t most = std::numeric_limits<int64_t>::max();

TEST(a_tile_takes_whole_units_of_64_bytes) {
  CHECK_EQ(decimal(tile_bytes(DType::F32, 0, 7)), "0");
  CHECK_EQ(decimal(tile_bytes(DType::I8, 1, 1)), "64");
  CHECK_EQ(decimal(tile_bytes(DType::F32, 4, 4)), "64");
  CHECK_EQ(decimal(tile_bytes(DType::BF16, 3, 11)), "128");
  CHECK_EQ(decimal(tile_bytes(DType::F64, 3, 3)), "128");
  CHECK_EQ(decimal(tile_bytes(DType::F32, 100000, 100000)), "40000000000");
}

TEST(a_tile_of_more_bytes_than_64_bits_count) {
  // 2^32 x 2^32 elements of 4 bytes: 64 bits would say 0.
  CHECK_EQ(decimal(tile_bytes(DType::F32, int64_t{1} << 32, int64_t{1} << 32)), "73786976294838206464");
  // (2^63 - 1) x 8, in units of 64.
  CHECK_EQ(decimal(tile_bytes(DType::F64, most, 1)), "73786976294838206464");
  CHECK(tile_bytes(DType::F32, int64_t{1} << 31, int64_t{1} << 31) > tile_bytes(DType::F32, 1, int64_t{1} << 61));
}

TEST(a_tile_of_more_bytes_than_128_bits_count) {
  const WideBytes largest = ~WideBytes{0} / 64 * 64;
  CHECK(tile_bytes(DType::F64, most, most) == largest);
  CHECK(tile_bytes(DType::I8, most, most) < largest);
  CHECK(tile_bytes(DType::I8, most, most) % 64 == 0);
  CHECK_EQ(decimal(largest), "340282366920938463463374607431768211392");
}

}  // namespace
}  // namespace mtia::emulator
