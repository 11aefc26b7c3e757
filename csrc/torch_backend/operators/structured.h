// Runs the meta function of a structured operator (its shape and dtype checks) on given outputs, as torch's own
// generated code does.
#pragma once

#include <ATen/TensorIterator.h>
#include <ATen/TensorMeta.h>
#include <ATen/core/Tensor.h>
#include <ATen/native/Resize.h>

#include <array>
#include <type_traits>
#include <typeinfo>

#include "torch_backend/operators/allocate.h"
#include "torch_backend/same_device.h"

namespace mtia::torch_backend {

// WithOutputs<at::meta::structured_cat> call(out); call.meta(...); ... write to call.output(0) ...; call.finish();
// An undefined output is allocated; a defined one is resized, and replaced by a temporary where the meta function
// demands strides that it lacks.
template <typename Meta>
class WithOutputs final : public Meta {
 public:
  template <typename... Tensors>
  explicit WithOutputs(const Tensors&... outputs) : outputs_{outputs...} {}

  // An iterator looks at its operands' devices itself, and lets scalars of the CPU pass.
  template <typename... Arguments>
  decltype(auto) meta(const Arguments&... arguments) {
    if constexpr (!std::is_base_of_v<at::TensorIteratorBase, Meta>)
      check_one_device([] { return operator_of_structured(typeid(Meta)); }, arguments...);
    return Meta::meta(arguments...);
  }

  void set_output_strided(int64_t index, c10::IntArrayRef sizes, c10::IntArrayRef strides,
                          at::TensorOptions options) override {
    prepare(index, sizes, strides, options);
    at::Tensor& output = outputs_[static_cast<size_t>(index)];
    if (!strides.empty() && output.strides() != strides) {
      temporaries_[static_cast<size_t>(index)] =
          empty_device_strided(sizes, strides, output.scalar_type(), output.device());
    }
    tell_iterator(index, sizes, strides, options);
  }

  void set_output_raw_strided(int64_t index, c10::IntArrayRef sizes, c10::IntArrayRef strides,
                              at::TensorOptions options) override {
    prepare(index, sizes, strides, options);
    tell_iterator(index, sizes, strides, options);
  }

  const at::Tensor& maybe_get_output(int64_t index) override { return output(index); }

  const at::Tensor& output(int64_t index = 0) const {
    const at::Tensor& temporary = temporaries_[static_cast<size_t>(index)];
    return temporary.defined() ? temporary : outputs_[static_cast<size_t>(index)];
  }

  // Copies temporaries into the caller's outputs.
  void finish() {
    for (size_t i = 0; i < outputs_.size(); ++i) {
      if (temporaries_[i].defined()) outputs_[i].copy_(temporaries_[i]);
    }
  }

 private:
  static constexpr size_t max_outputs = 4;

  void prepare(int64_t index, c10::IntArrayRef sizes, c10::IntArrayRef strides, const at::TensorOptions& options) {
    at::Tensor& output = outputs_[static_cast<size_t>(index)];
    const c10::ScalarType dtype = c10::typeMetaToScalarType(options.dtype());
    if (!output.defined()) {
      output = strides.empty() ? empty_device(sizes, dtype, options.device())
                               : empty_device_strided(sizes, strides, dtype, options.device());
      if (strides.empty()) restride(output, options);
      return;
    }
    TORCH_CHECK(dtype == output.scalar_type(), "Expected out tensor to have dtype ", dtype, ", but got ",
                output.scalar_type(), " instead");
    TORCH_CHECK(options.device() == output.device(), "Expected out tensor to have device ", options.device(),
                ", but got ", output.device(), " instead");
    if (!at::native::resize_output(output, sizes)) return;
    strides.empty() ? restride(output, options) : static_cast<void>(output.as_strided_(sizes, strides));
  }

  static void restride(const at::Tensor& output, const at::TensorOptions& options) {
    if (const auto format = options.memory_format_opt()) output.unsafeGetTensorImpl()->empty_tensor_restride(*format);
  }

  void tell_iterator(int64_t index, c10::IntArrayRef sizes, c10::IntArrayRef strides,
                     const at::TensorOptions& options) {
    if constexpr (std::is_base_of_v<at::TensorIteratorBase, Meta>) {
      Meta::set_output_raw_strided(index, sizes, strides, options);
    } else {
      (void)index, (void)sizes, (void)strides, (void)options;
    }
  }

  std::array<at::Tensor, max_outputs> outputs_;
  std::array<at::Tensor, max_outputs> temporaries_;
};

}  // namespace mtia::torch_backend
