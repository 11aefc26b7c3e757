// Values looked up in sorted rows: searchsorted, bucketize and isin.
#include <ATen/native/BucketizationUtils.h>
#include <ATen/ops/isin_meta.h>
#include <ATen/ops/result_type.h>
#include <torch/library.h>

#include "kernels/cpp/search.h"
#include "torch_backend/dtypes.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/structured.h"

namespace mtia::torch_backend {
namespace {

// Searches for `values` in the rows of `sorted`, both contiguous and of one dtype, into the contiguous `results`.
void search(const at::Tensor& values, const at::Tensor& sorted, const at::Tensor& results,
            kernels::SearchArguments arguments) {
  static const emulator::CppKernel& kernel = emulator::cpp_kernel("search");
  const ChipDType dtype = chip_dtype(values.scalar_type());
  arguments.results = address_of(results);
  arguments.values = address_to_read(values);
  arguments.sorted = address_to_read(sorted);
  arguments.length = sorted.size(-1);
  arguments.has_one_row = sorted.dim() == 1;
  arguments.row_values = arguments.has_one_row ? values.numel() : values.size(-1);
  arguments.rows = arguments.has_one_row ? 1 : values.numel() / arguments.row_values;
  arguments.dtype = dtype.dtype;
  arguments.is_unsigned = dtype.is_unsigned;
  launch_cpp_kernel(kernel, values.device().index(), arguments, {results, values, sorted});
}

at::Tensor& searchsorted_out(const at::Tensor& sorted, const at::Tensor& values, bool out_int32, bool right,
                             std::optional<c10::string_view> side, const std::optional<at::Tensor>& sorter,
                             at::Tensor& out) {
  const at::Tensor order = sorter.value_or(at::Tensor());
  at::native::searchsorted_pre_check(sorted, values, out, out_int32, right, side, order);
  at::native::resize_output(out, values.sizes());
  if (values.numel() == 0) return out;
  const c10::ScalarType common =
      values.scalar_type() == sorted.scalar_type() ? values.scalar_type() : at::result_type(sorted, values);
  TORCH_CHECK_NOT_IMPLEMENTED(!at::isComplexType(common) && common != c10::kBool, "\"searchsorted_out_mtia_sim\" not ",
                              "implemented for '", common, "'");
  const at::Tensor boundaries = order.defined() ? sorted.gather(-1, order) : sorted;
  const Dense results(out);
  kernels::SearchArguments arguments;
  arguments.result = out_int32 ? kernels::SearchResult::place32 : kernels::SearchResult::place64;
  arguments.upper = side.has_value() ? *side == "right" : right;
  search(values.to(common).contiguous(), boundaries.to(common).contiguous(), results.tensor(), arguments);
  results.finish();
  return out;
}

at::Tensor searchsorted(const at::Tensor& sorted, const at::Tensor& values, bool out_int32, bool right,
                        std::optional<c10::string_view> side, const std::optional<at::Tensor>& sorter) {
  at::Tensor out = empty_device({0}, out_int32 ? c10::kInt : c10::kLong, values.device());
  return searchsorted_out(sorted, values, out_int32, right, side, sorter, out);
}

at::Tensor searchsorted_scalar(const at::Tensor& sorted, const at::Scalar& value, bool out_int32, bool right,
                               std::optional<c10::string_view> side, const std::optional<at::Tensor>& sorter) {
  const at::Tensor values = at::native::searchsorted_scalar_tensor(value, sorted.device());
  return torch_backend::searchsorted(sorted, values, out_int32, right, side, sorter);
}

at::Tensor& searchsorted_scalar_out(const at::Tensor& sorted, const at::Scalar& value, bool out_int32, bool right,
                                    std::optional<c10::string_view> side, const std::optional<at::Tensor>& sorter,
                                    at::Tensor& out) {
  const at::Tensor values = at::native::searchsorted_scalar_tensor(value, sorted.device());
  return searchsorted_out(sorted, values, out_int32, right, side, sorter, out);
}

at::Tensor& bucketize_out(const at::Tensor& self, const at::Tensor& boundaries, bool out_int32, bool right,
                          at::Tensor& out) {
  TORCH_CHECK(boundaries.dim() == 1, "bucketize(): boundaries tensor must be 1 dimension, but got dim(",
              boundaries.dim(), ")");
  return searchsorted_out(boundaries, self, out_int32, right, std::nullopt, std::nullopt, out);
}

at::Tensor bucketize(const at::Tensor& self, const at::Tensor& boundaries, bool out_int32, bool right) {
  at::Tensor out = empty_device({0}, out_int32 ? c10::kInt : c10::kLong, self.device());
  return bucketize_out(self, boundaries, out_int32, right, out);
}

at::Tensor bucketize_scalar(const at::Scalar& self, const at::Tensor& boundaries, bool out_int32, bool right) {
  return torch_backend::bucketize(at::native::searchsorted_scalar_tensor(self, boundaries.device()), boundaries,
                                  out_int32, right);
}

void find_members(const at::Tensor& elements, const at::Tensor& tests, bool invert, const at::Tensor& out) {
  if (elements.numel() == 0) return;
  if (tests.numel() == 0) {
    out.fill_(invert);
    return;
  }
  const c10::ScalarType common = at::result_type(elements, tests);
  const at::Tensor sorted =
      std::get<0>(tests.to(common).reshape({-1}).sort(/*stable=*/false, /*dim=*/0, /*descending=*/false));
  const Dense results(out);
  kernels::SearchArguments arguments;
  arguments.result = kernels::SearchResult::is_found;
  arguments.invert = invert;
  search(elements.to(common).contiguous(), sorted, results.tensor(), arguments);
  results.finish();
}

at::Tensor& isin_out(const at::Tensor& elements, const at::Tensor& tests, bool assume_unique, bool invert,
                     at::Tensor& out) {
  WithOutputs<at::meta::structured_isin_Tensor_Tensor> call(out);
  call.meta(elements, tests, assume_unique, invert);
  find_members(elements, tests, invert, call.output());
  call.finish();
  return out;
}

at::Tensor& isin_tensor_scalar_out(const at::Tensor& elements, const at::Scalar& test, bool assume_unique, bool invert,
                                   at::Tensor& out) {
  WithOutputs<at::meta::structured_isin_Tensor_Scalar> call(out);
  call.meta(elements, test, assume_unique, invert);
  call.output().copy_(invert ? elements.ne(test) : elements.eq(test));
  call.finish();
  return out;
}

at::Tensor& isin_scalar_tensor_out(const at::Scalar& element, const at::Tensor& tests, bool assume_unique, bool invert,
                                   at::Tensor& out) {
  WithOutputs<at::meta::structured_isin_Scalar_Tensor> call(out);
  call.meta(element, tests, assume_unique, invert);
  const at::Tensor found = tests.eq(element).any();
  at::native::resize_output(call.output(), {});  // the meta function leaves the size to this
  call.output().copy_(invert ? found.logical_not() : found);
  call.finish();
  return out;
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) {
  using namespace mtia::torch_backend;
  library.impl("searchsorted.Tensor", mtia::torch_backend::searchsorted);
  library.impl("searchsorted.Tensor_out", searchsorted_out);
  library.impl("searchsorted.Scalar", searchsorted_scalar);
  library.impl("searchsorted.Scalar_out", searchsorted_scalar_out);
  library.impl("bucketize.Tensor", mtia::torch_backend::bucketize);
  library.impl("bucketize.Tensor_out", bucketize_out);
  library.impl("bucketize.Scalar", bucketize_scalar);
  library.impl("isin.Tensor_Tensor_out", isin_out);
  library.impl("isin.Tensor_Scalar_out", isin_tensor_scalar_out);
  library.impl("isin.Scalar_Tensor_out", isin_scalar_tensor_out);
}
