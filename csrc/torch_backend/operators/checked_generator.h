// Random operators that refuse a generator of another device before they draw or write.
#pragma once

#include <ATen/core/Tensor.h>

#include <optional>
#include <type_traits>
#include <utility>

#include "torch_backend/generator.h"

namespace mtia::torch_backend {

// WithCheckedGenerator<normal_>::call is normal_ with the generator among its arguments checked against the tensor that
// it writes, or else the first that it reads.
template <auto operation>
struct WithCheckedGenerator;

template <typename Result, typename... Arguments, Result (*operation)(Arguments...)>
struct WithCheckedGenerator<operation> {
  static Result call(Arguments... arguments) {
    const at::Tensor* tensor = nullptr;
    const std::optional<at::Generator>* generator = nullptr;
    const auto look = [&]<typename Declared>(std::type_identity<Declared>, const auto& argument) {
      if constexpr (std::is_same_v<Declared, at::Tensor&>) tensor = &argument;
      if constexpr (std::is_same_v<Declared, const at::Tensor&>) tensor = tensor != nullptr ? tensor : &argument;
      if constexpr (std::is_same_v<Declared, std::optional<at::Generator>>) generator = &argument;
    };
    (look(std::type_identity<Arguments>{}, arguments), ...);
    check_generator(*tensor, *generator);
    return operation(std::forward<Arguments>(arguments)...);
  }
};

}  // namespace mtia::torch_backend
