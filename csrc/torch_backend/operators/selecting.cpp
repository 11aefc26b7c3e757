// Operators whose result is as long as a mask has ones: nonzero and masked_select, and masked_scatter, which numbers
// them.
#include <ATen/ops/broadcast_tensors.h>
#include <ATen/ops/where.h>
#include <torch/library.h>
#include <cmath>
#include <numeric>

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

// The ones of a mask: how many there are in each PE's part.
struct Flags {
  at::Tensor flags;   // bool, contiguous
  at::Tensor counts;  // int64, on the device
};

Flags count_flags(const at::Tensor& flags) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("count_flags");
  Flags result{flags.contiguous(), empty_device({runtime::chip().pe_count()}, c10::kLong, flags.device())};
  kernels::CountFlagsArguments arguments;
  arguments.counts = address_of(result.counts);
  arguments.flags = address_to_read(result.flags);
  arguments.count = result.flags.numel();
  launch_cpp_kernel(kernel, flags.device().index(), arguments, {result.flags, result.counts});
  return result;
}

// How many are set: this waits.
int64_t total_of(const Flags& flags) {
  runtime::Device& device = device_of(flags.counts.device().index());
  const at::Tensor counts = flags.counts.cpu();
  if (!device.knows(address_to_read(flags.counts), flags.counts.nbytes()))  // in timing mode
    return std::lround(device.stand_ins().mask * static_cast<double>(flags.flags.numel()));
  const int64_t* numbers = counts.const_data_ptr<int64_t>();
  return std::accumulate(numbers, numbers + counts.numel(), int64_t{0});
}

kernels::TakeFlaggedArguments arguments_for(const Flags& flags, const at::Tensor& results) {
  kernels::TakeFlaggedArguments arguments;
  arguments.results = address_of(results);
  arguments.flags = address_to_read(flags.flags);
  arguments.counts = address_to_read(flags.counts);
  arguments.count = flags.flags.numel();
  return arguments;
}

void take_flagged(const kernels::TakeFlaggedArguments& arguments, const Flags& flags, const at::Tensor& results,
                  const at::Tensor& source) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("take_flagged");
  launch_cpp_kernel(kernel, results.device().index(), arguments, {results, flags.flags, flags.counts, source});
}

// places[i] = the indices of the i-th flag that is set, in a tensor of `sizes`.
void take_places(const Flags& flags, c10::IntArrayRef sizes, const at::Tensor& places) {
  kernels::TakeFlaggedArguments arguments = arguments_for(flags, places);
  arguments.rank = static_cast<int64_t>(sizes.size());
  std::copy(sizes.begin(), sizes.end(), arguments.shape.begin());
  take_flagged(arguments, flags, places, {});
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
  at::native::resize_output(out, {total_of(flags), rank});
  if (out.numel() == 0) return out;
  const Dense places(out);
  take_places(flags, self.sizes(), places.tensor());
  places.finish();
  return out;
}

at::Tensor nonzero(const at::Tensor& self) {
  at::Tensor out = empty_device({0}, c10::kLong, self.device());
  return nonzero_out(self, out);
}

// The first `size` of them, filled up: nobody waits for their number.
at::Tensor nonzero_static(const at::Tensor& self, int64_t size, int64_t fill_value) {
  const OperatorScope scope("nonzero_static");
  TORCH_CHECK(size >= 0, "nonzero_static: 'size' must be an non-negative integer");
  at::Tensor places = empty_device({std::max(size, self.numel()), self.dim()}, c10::kLong, self.device());
  places.fill_(fill_value);
  if (self.numel() != 0 && self.dim() != 0)
    take_places(count_flags(self.scalar_type() == c10::kBool ? self : self.ne(0)), self.sizes(), places);
  return places.narrow(0, 0, size).contiguous();
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
  at::Tensor result = empty_device({total_of(flags)}, self.scalar_type(), self.device());
  if (result.numel() == 0) return result;
  const at::Tensor source = expanded[0].contiguous();
  kernels::TakeFlaggedArguments arguments = arguments_for(flags, result);
  arguments.source = address_to_read(source);
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
