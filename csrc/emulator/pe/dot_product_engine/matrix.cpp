// Dispatch to the host's matrix kernels.
#include "emulator/pe/dot_product_engine/matrix.h"

#include <cstring>

#include "base/bit_patterns.h"
#include "base/error.h"

namespace mtia::emulator {
namespace {

template <typename Sum, typename Load>
void plain_product(std::byte* c, int64_t c_row_stride, const MatrixOperand& a, const MatrixOperand& b, int64_t m, int64_t n, int64_t k, bool accumulate,
                   size_t size, Load load) {
  auto* sums = reinterpret_cast<Sum*>(c);
  const auto bytes = static_cast<int64_t>(size);
  for (int64_t i = 0; i < m; ++i) {
    for (int64_t j = 0; j < n; ++j) {
      Sum total = accumulate ? sums[i * c_row_stride + j] : Sum{0};
      for (int64_t p = 0; p < k; ++p) {
        total += static_cast<Sum>(load(a.data + (i * a.row_stride + p * a.column_stride) * bytes)) *
                 static_cast<Sum>(load(b.data + (p * b.row_stride + j * b.column_stride) * bytes));
      }
      sums[i * c_row_stride + j] = total;
    }
  }
}

template <typename T>
T element(const std::byte* data) {
  T value{};
  std::memcpy(&value, data, sizeof(T));
  return value;
}

}  // namespace

void matrix_product(DType operands, DType sums, std::byte* c, int64_t c_row_stride, const MatrixOperand& a, const MatrixOperand& b, int64_t m,
                    int64_t n, int64_t k, bool accumulate, int64_t) {
  const size_t size = size_of(operands);
  switch (operands) {
    case DType::I8:
      return plain_product<int32_t>(c, c_row_stride, a, b, m, n, k, accumulate, size, element<int8_t>);
    case DType::F64:
      return plain_product<double>(c, c_row_stride, a, b, m, n, k, accumulate, size, element<double>);
    case DType::F32:
      return plain_product<float>(c, c_row_stride, a, b, m, n, k, accumulate, size, element<float>);
    case DType::F16:
      return plain_product<float>(c, c_row_stride, a, b, m, n, k, accumulate, size, [](const std::byte* p) { return f32_from_f16(element<uint16_t>(p)); });
    case DType::BF16:
      return plain_product<float>(c, c_row_stride, a, b, m, n, k, accumulate, size, [](const std::byte* p) { return f32_from_bf16(element<uint16_t>(p)); });
    case DType::F8E4M3:
      return plain_product<float>(c, c_row_stride, a, b, m, n, k, accumulate, size, [](const std::byte* p) { return f32_from_f8e4m3(element<uint8_t>(p)); });
    case DType::F8E5M2:
      return plain_product<float>(c, c_row_stride, a, b, m, n, k, accumulate, size, [](const std::byte* p) { return f32_from_f8e5m2(element<uint8_t>(p)); });
    default:
      throw InternalError(concat("dot of ", name_of(operands), " with sums in ", name_of(sums)));
  }
}

}  // namespace mtia::emulator
