// Atomics as compare-and-swap loops over std::atomic_ref.
#include "emulator/pe/fabric_interface/atomics.h"

#include <algorithm>
#include <atomic>
#include <bit>
#include <cmath>
#include <type_traits>

#include "base/bit_patterns.h"
#include "base/error.h"

namespace mtia::emulator {
namespace {

template <typename Float>
Float combine_float(AtomicKind kind, Float old, Float operand) {
  switch (kind) {
    case AtomicKind::add_f:
    case AtomicKind::add_i:
      return old + operand;
    case AtomicKind::max_s:
    case AtomicKind::max_u:
      return std::fmax(old, operand);
    case AtomicKind::min_s:
    case AtomicKind::min_u:
      return std::fmin(old, operand);
    default:
      return operand;
  }
}

template <typename Bits>
Bits combine_integer(AtomicKind kind, Bits old, Bits operand) {
  using Signed = std::make_signed_t<Bits>;
  switch (kind) {
    case AtomicKind::and_i:
      return old & operand;
    case AtomicKind::or_i:
      return old | operand;
    case AtomicKind::xor_i:
      return old ^ operand;
    case AtomicKind::add_i:
      return static_cast<Bits>(old + operand);
    case AtomicKind::max_s:
      return static_cast<Bits>(std::max(static_cast<Signed>(old), static_cast<Signed>(operand)));
    case AtomicKind::min_s:
      return static_cast<Bits>(std::min(static_cast<Signed>(old), static_cast<Signed>(operand)));
    case AtomicKind::max_u:
      return std::max(old, operand);
    case AtomicKind::min_u:
      return std::min(old, operand);
    default:
      return operand;
  }
}

template <typename Bits, typename Combine>
uint64_t update(std::byte* memory, Combine combine) {
  std::atomic_ref<Bits> cell(*reinterpret_cast<Bits*>(memory));
  Bits old = cell.load(std::memory_order_relaxed);
  while (!cell.compare_exchange_weak(old, combine(old), std::memory_order_acq_rel, std::memory_order_relaxed)) {
  }
  return old;
}

template <typename Bits>
uint64_t update_integer(std::byte* memory, AtomicKind kind, uint64_t operand) {
  return update<Bits>(memory, [=](Bits old) { return combine_integer<Bits>(kind, old, static_cast<Bits>(operand)); });
}

template <typename Bits, typename Widen, typename Narrow>
uint64_t update_float(std::byte* memory, AtomicKind kind, uint64_t operand, Widen widen, Narrow narrow) {
  if (kind == AtomicKind::exchange || kind <= AtomicKind::xor_i) return update_integer<Bits>(memory, kind, operand);
  const auto right = widen(static_cast<Bits>(operand));
  return update<Bits>(memory,
                      [=](Bits old) { return static_cast<Bits>(narrow(combine_float(kind, widen(old), right))); });
}

template <typename Bits>
uint64_t swap(std::byte* memory, uint64_t expected, uint64_t desired) {
  std::atomic_ref<Bits> cell(*reinterpret_cast<Bits*>(memory));
  auto old = static_cast<Bits>(expected);
  cell.compare_exchange_strong(old, static_cast<Bits>(desired), std::memory_order_acq_rel);
  return old;
}

}  // namespace

uint64_t atomic_update(std::byte* memory, DType dtype, AtomicKind kind, uint64_t operand) {
  switch (dtype) {
    case DType::I1:
    case DType::I8:
      return update_integer<uint8_t>(memory, kind, operand);
    case DType::I16:
      return update_integer<uint16_t>(memory, kind, operand);
    case DType::I32:
      return update_integer<uint32_t>(memory, kind, operand);
    case DType::I64:
      return update_integer<uint64_t>(memory, kind, operand);
    case DType::F16:
      return update_float<uint16_t>(memory, kind, operand, f32_from_f16, f16_from_f32);
    case DType::BF16:
      return update_float<uint16_t>(memory, kind, operand, f32_from_bf16, bf16_from_f32);
    case DType::F32:
      return update_float<uint32_t>(memory, kind, operand, float_of_bits, bits_of_float);
    case DType::F64:
      return update_float<uint64_t>(
          memory, kind, operand, [](uint64_t bits) { return std::bit_cast<double>(bits); },
          [](double value) { return std::bit_cast<uint64_t>(value); });
    default:
      break;
  }
  throw Unsupported(concat("atomic operations on ", name_of(dtype)), "", "use f16, bf16, f32, f64 or an integer type");
}

uint64_t atomic_compare_and_swap(std::byte* memory, size_t size, uint64_t expected, uint64_t desired) {
  switch (size) {
    case 1:
      return swap<uint8_t>(memory, expected, desired);
    case 2:
      return swap<uint16_t>(memory, expected, desired);
    case 4:
      return swap<uint32_t>(memory, expected, desired);
    default:
      return swap<uint64_t>(memory, expected, desired);
  }
}

}  // namespace mtia::emulator
