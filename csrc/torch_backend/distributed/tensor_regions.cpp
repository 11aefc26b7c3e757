// Bytes of tensors on the device, as lists of ranges.
#include "torch_backend/distributed/tensor_regions.h"

#include <c10/core/ScalarType.h>

#include "torch_backend/dtypes.h"
#include "torch_backend/memory/address.h"

namespace mtia::torch_backend {

Region region_of(const at::Tensor& tensor) { return {address_of(tensor), tensor.nbytes()}; }

std::string memory_order(const at::Tensor& tensor) {
  return tensor.is_contiguous() ? "" : c10::str("strides ", tensor.strides());
}

Regions regions_of(const Tensors& tensors) {
  Regions regions;
  for (const at::Tensor& tensor : tensors) regions.push_back(region_of(tensor));
  return regions;
}

// The part of a rank, of what holds a part of each.
Region part_of(const at::Tensor& tensor, int rank, int size) {
  const uint64_t bytes = tensor.nbytes() / static_cast<uint64_t>(size);
  return {address_of(tensor) + static_cast<uint64_t>(rank) * bytes, bytes};
}

network::Reduction reduction_of(const c10d::ReduceOp& operation, c10::ScalarType dtype) {
  using network::Combiner;
  // Sums of complex numbers are those of their parts.
  const bool is_of_parts =
      c10::isComplexType(dtype) &&
      (operation == c10d::ReduceOp::SUM || operation == c10d::ReduceOp::AVG || operation == c10d::ReduceOp::PREMUL_SUM);
  TORCH_CHECK_TYPE(is_of_parts || !c10::isComplexType(dtype), "mccl: no reduction ", name_of(operation), " of ", dtype,
                   "; complex numbers are summed and averaged alone");
  const ChipDType stored = chip_dtype(is_of_parts ? c10::toRealValueType(dtype) : dtype);
  network::Reduction reduction{Combiner::sum, stored.dtype, stored.is_unsigned, 1};
  switch (operation) {
    case c10d::ReduceOp::SUM:
      break;
    case c10d::ReduceOp::AVG:
      reduction.combiner = Combiner::average;
      break;
    case c10d::ReduceOp::PRODUCT:
      reduction.combiner = Combiner::product;
      break;
    case c10d::ReduceOp::MIN:
      reduction.combiner = Combiner::minimum;
      break;
    case c10d::ReduceOp::MAX:
      reduction.combiner = Combiner::maximum;
      break;
    case c10d::ReduceOp::BAND:
      reduction.combiner = Combiner::bit_and;
      break;
    case c10d::ReduceOp::BOR:
      reduction.combiner = Combiner::bit_or;
      break;
    case c10d::ReduceOp::BXOR:
      reduction.combiner = Combiner::bit_xor;
      break;
    case c10d::ReduceOp::PREMUL_SUM: {
      const auto* given = dynamic_cast<const c10d::PreMulSumSupplement*>(operation.supplement_.get());
      TORCH_CHECK(given != nullptr,
                  "PREMUL_SUM without a factor; make it with torch.distributed._make_nccl_premul_sum");
      reduction.factor = given->tensor_factor.defined() ? given->tensor_factor.item().toDouble() : given->double_factor;
      break;
    }
    default:
      TORCH_CHECK(false, "mccl: no such reduction");
  }
  TORCH_CHECK_TYPE(network::is_supported(reduction), "mccl: no such reduction of ", dtype,
                   "; bitwise ones are of integers, averages of numbers, and floats of 8 bits are not combined");
  return reduction;
}

const char* name_of(const c10d::ReduceOp& operation) {
  constexpr const char* names[] = {"sum", "avg", "product", "min", "max", "band", "bor", "bxor", "premul_sum"};
  const auto place = static_cast<size_t>(static_cast<c10d::ReduceOp::RedOpType>(operation));
  return place < std::size(names) ? names[place] : "unknown";
}

}  // namespace mtia::torch_backend
