// Operators whose result is as long as a mask has ones: nonzero and masked_select, and masked_scatter, which numbers
// them.
#include <ATen/ops/broadcast_tensors.h>
#include <ATen/ops/where.h>
#include <torch/library.h>
#include <cmath>

#include <algorithm>

#include "chip/chip_spec.h"
#include "emulator/timing_mode/stand_ins.h"
#include "kernels/cpp/compact.h"
#include "runtime/runtime.h"
#include "torch_backend/device.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/allocate.h"
#include "torch_backend/operators/output_checks.h"

namespace mtia::torch_backend {
namespace {

// The ones of a mask: how many there are in all, and in each PE's part.
struct Flags {
  at::Tensor flags;   // bool, contiguous
  at::Tensor counts;  // int64, on the device
  int64_t total = 0;
};

uint64_t address(const at::Tensor& tensor) { return reinterpret_cast<uint64_t>(tensor.const_data_ptr()); }

// The result's size depends on the data: this waits.
Flags count_flags(const at::Tensor& flags) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("count_flags");
  Flags result{flags.contiguous(), empty_device({runtime::chip().pe_count()}, c10::kLong, flags.device())};
  kernels::CountFlagsArguments arguments;
  arguments.counts = address(result.counts);
  arguments.flags = address(result.flags);
  arguments.count = result.flags.numel();
  launch_cpp_kernel(kernel, flags.device().index(), arguments, {result.flags, result.counts});
  const at::Tensor counts = result.counts.cpu();
  for (int64_t i = 0; i < counts.numel(); ++i) result.total += counts.const_data_ptr<int64_t>()[i];
  runtime::Device& device = device_of(flags.device().index());
  if (!device.knows(arguments.counts, result.counts.nbytes()))  // in timing mode
    result.total = std::lround(device.stand_ins().mask * static_cast<double>(arguments.count));
  return result;
}

kernels::TakeFlaggedArguments arguments_for(const Flags& flags, const at::Tensor& results) {
  kernels::TakeFlaggedArguments arguments;
  arguments.results = address(results);
  arguments.flags = address(flags.flags);
  arguments.counts = address(flags.counts);
  arguments.count = flags.flags.numel();
  return arguments;
}

void take_flagged(const kernels::TakeFlaggedArguments& arguments, const Flags& flags, const at::Tensor& results,
                  const at::Tensor& source) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("take_flagged");
  launch_cpp_kernel(kernel, results.device().index(), arguments, {results, flags.flags, flags.counts, source});
}

at::Tensor& nonzero_out(const at::Tensor& self, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == c10::kLong, "nonzero: Expected out tensor to have scalar type Long but got ",
              out.scalar_type());
  check_same_device("nonzero", self.device(), out);
  check_apart(out, {self});
  const int64_t rank = self.dim();
  if (self.numel() == 0) {
    at::native::resize_output(out, {0, rank});
    return out;
  }
  const Flags flags = count_flags(self.scalar_type() == c10::kBool ? self : self.ne(0));
  at::native::resize_output(out, {flags.total, rank});
  if (out.numel() == 0) return out;
  const at::Tensor dense = out.is_contiguous() ? out : empty_device(out.sizes(), c10::kLong, out.device());
  kernels::TakeFlaggedArguments arguments = arguments_for(flags, dense);
  arguments.rank = rank;
  std::copy(self.sizes().begin(), self.sizes().end(), arguments.shape.begin());
  take_flagged(arguments, flags, dense, {});
  if (!dense.is_same(out)) out.copy_(dense);
  return out;
}

at::Tensor nonzero(const at::Tensor& self) {
  at::Tensor out = empty_device({0}, c10::kLong, self.device());
  return nonzero_out(self, out);
}

// The first `size` of them, filled up.
at::Tensor nonzero_static(const at::Tensor& self, int64_t size, int64_t fill_value) {
  const OperatorScope scope("nonzero_static");
  TORCH_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
  at::Tensor result = empty_device({size, self.dim()}, c10::kLong, self.device());
  result.fill_(fill_value);
  const at::Tensor found = torch_backend::nonzero(self);
  const int64_t count = std::min(size, found.size(0));
  result.narrow(0, 0, count).copy_(found.narrow(0, 0, count));
  return result;
}

at::Tensor& nonzero_static_out(const at::Tensor& self, int64_t size, int64_t fill_value, at::Tensor& out) {
  TORCH_CHECK(out.scalar_type() == c10::kLong, "nonzero_static: Expected out tensor to have scalar type ", c10::kLong,
              " but got scalar type ", out.scalar_type());
  check_same_device("nonzero_static", self.device(), out);
  check_apart(out, {self});
  return write_output(out, torch_backend::nonzero_static(self, size, fill_value));
}

at::Tensor masked_select(const at::Tensor& self, const at::Tensor& mask) {
  const OperatorScope scope("masked_select");
  TORCH_CHECK(mask.scalar_type() == c10::kBool, "masked_select: expected BoolTensor for mask");
  check_same_device("masked_select", self.device(), mask);
  const auto expanded = at::broadcast_tensors({self, mask});
  if (expanded[0].numel() == 0) return empty_device({0}, self.scalar_type(), self.device());
  if (at::isComplexType(self.scalar_type()))
    return expanded[0].reshape({-1}).index_select(0, expanded[1].reshape({-1}).nonzero().select(1, 0));
  const Flags flags = count_flags(expanded[1]);
  at::Tensor result = empty_device({flags.total}, self.scalar_type(), self.device());
  if (flags.total == 0) return result;
  const at::Tensor source = expanded[0].contiguous();
  kernels::TakeFlaggedArguments arguments = arguments_for(flags, result);
  arguments.source = address(source);
  arguments.dtype = chip_dtype(self.scalar_type()).dtype;
  take_flagged(arguments, flags, result, source);
  return result;
}

at::Tensor& masked_select_out(const at::Tensor& self, const at::Tensor& mask, at::Tensor& out) {
  TORCH_CHECK(self.scalar_type() == out.scalar_type(),
              "masked_select(): self and result must have the same scalar type");
  check_same_device("masked_select", self.device(), out);
  check_apart(out, {self, mask});
  return write_output(out, torch_backend::masked_select(self, mask));
}

at::Tensor& masked_scatter_(at::Tensor& self, const at::Tensor& mask, const at::Tensor& source) {
  const OperatorScope scope("masked_scatter");
  TORCH_CHECK(mask.scalar_type() == c10::kBool, "masked_scatter_ only supports boolean masks, but got mask with dtype ",
              mask.scalar_type());
  TORCH_CHECK(self.scalar_type() == source.scalar_type(),
              "masked_scatter: expected self and source to have same dtypes but got ", self.scalar_type(), " and ",
              source.scalar_type());
  if (self.numel() == 0) return self;
  const at::Tensor full_mask = mask.expand_as(self);
  if (source.numel() == 0) {
    TORCH_CHECK(!full_mask.any().item().toBool(),
                "masked_scatter: expected self and source to have as many elements "
                "as the mask has ones, but the source is empty");
    return self;
  }
  // Of the ones in the mask, each its number: the look-up refuses more than the source has elements.
  const at::Tensor flat = full_mask.reshape({-1});
  const at::Tensor places = flat.cumsum(0).sub(1).mul(flat);
  const at::Tensor values = source.reshape({-1}).index_select(0, places).view(self.sizes());
  return self.copy_(at::where(full_mask, values, self));
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("nonzero", mtia::torch_backend::nonzero);
  library.impl("nonzero.out", nonzero_out);
  library.impl("nonzero_static", mtia::torch_backend::nonzero_static);
  library.impl("nonzero_static.out", mtia::torch_backend::nonzero_static_out);
  library.impl("masked_select", mtia::torch_backend::masked_select);
  library.impl("masked_select.out", masked_select_out);
  library.impl("masked_scatter_", masked_scatter_);
}
