// The verdicts: how a call becomes a signature and small CPU tensors.
#include "torch_backend/operators/type_rules.h"

#include <ATen/Dispatch_v2.h>
#include <ATen/core/LegacyTypeDispatch.h>
#include <ATen/core/stack.h>
#include <ATen/ops/empty.h>
#include <ATen/ops/ones.h>
#include <ATen/record_function.h>
#include <c10/core/DefaultDtype.h>
#include <c10/core/impl/LocalDispatchKeySet.h>
#include <c10/util/overflows.h>

#include <algorithm>
#include <cmath>
#include <functional>
#include <memory>
#include <optional>
#include <utility>

namespace mtia::torch_backend {
namespace {

enum class Refusal : uint8_t { none, error, not_implemented, type_error, index_error, value_error };

struct Answer {
  c10::ScalarType result = c10::ScalarType::Undefined;
  Refusal refusal = Refusal::none;
  std::string message;
};

[[noreturn]] void refuse(const std::string& name, const Answer& answer) {
  const c10::SourceLocation here{__func__, __FILE__, static_cast<uint32_t>(__LINE__)};
  const std::string message = name + ": " + answer.message;
  switch (answer.refusal) {
    case Refusal::not_implemented:
      throw c10::NotImplementedError(here, message + "; mtia_sim takes the dtypes that CPU torch takes: convert first");
    case Refusal::type_error:
      throw c10::TypeError(here, message);
    case Refusal::index_error:
      throw c10::IndexError(here, message);
    case Refusal::value_error:
      throw c10::ValueError(here, message);
    default:
      throw c10::Error(here, message);
  }
}

bool is_cpu_number(const c10::IValue& argument) {
  return argument.isTensor() && argument.toTensor().defined() && argument.toTensor().is_cpu() &&
         argument.toTensor().dim() == 0;
}

// Numbers that every dtype but bool tells apart from an overflow.
bool is_small(const c10::Scalar& number) {
  if (number.isComplex()) return false;
  const double value = number.toDouble();
  return std::abs(value) <= 127.0;  // NaN is not: no integer holds it
}

// A small number of the same kind and sign: what rules may ask of a number besides its range. 1 stays, of which powers
// are a special case, and so do reductions' codes, infinities and NaN.
c10::Scalar representative(const c10::Scalar& number) {
  if (number.isBoolean()) return number;
  if (number.isComplex()) return c10::Scalar(c10::complex<double>(1, 1));
  const double value = number.toDouble();
  if (!std::isfinite(value)) return number;
  if (number.isFloatingPoint()) return c10::Scalar(value < 0 ? -1.0 : value == 0 || value == 1 ? value : 0.5);
  return c10::Scalar(static_cast<int64_t>(std::clamp(value, -1.0, 3.0)));
}

uint32_t word_of(const c10::Scalar& number) {
  const c10::Scalar standing = representative(number);
  uint32_t value = 0;
  if (!number.isComplex()) {
    const double real = standing.toDouble();
    value = std::isfinite(real) ? static_cast<uint32_t>(2 * (real + 1)) : std::isnan(real) ? 32U : real > 0 ? 33U : 34U;
  }
  return 3U << 28U | static_cast<uint32_t>(number.type()) << 8U | value;
}

uint32_t word_of(const c10::IValue& argument) {
  if (argument.isTensor()) {
    const at::Tensor& tensor = argument.toTensor();
    if (!tensor.defined()) return 1U << 28U;
    const bool wrapped = tensor.unsafeGetTensorImpl()->is_wrapped_number();
    return 2U << 28U | static_cast<uint32_t>(tensor.numel() == 0) << 18U | static_cast<uint32_t>(wrapped) << 17U |
           static_cast<uint32_t>(tensor.is_cpu()) << 16U | (static_cast<uint32_t>(tensor.dim()) & 0xFFU) << 8U |
           static_cast<uint32_t>(tensor.scalar_type());
  }
  if (argument.isBool()) return 4U << 28U | static_cast<uint32_t>(argument.toBool());
  if (argument.isScalar()) return word_of(argument.toScalar());
  if (argument.isString()) {
    return 5U << 28U | static_cast<uint32_t>(std::hash<std::string>{}(argument.toStringRef()) & 0xFFFFFFFU);
  }
  return argument.isNone() ? 0U : 6U << 28U;
}

// Whether the result has no elements: what kernels say of an element, such as a division by zero, they do not say then.
bool are_empty(c10::ArrayRef<c10::IValue> arguments, const c10::FunctionSchema& schema) {
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!schema.arguments()[i].is_out() && arguments[i].isTensor() && arguments[i].toTensor().defined() &&
        arguments[i].toTensor().numel() == 0)
      return true;
  }
  return false;
}

std::vector<int64_t> stand_in_sizes(int64_t rank, bool empty) {
  std::vector<int64_t> sizes(static_cast<size_t>(rank), 1);
  if (!sizes.empty()) sizes.back() = empty ? 0 : 2;  // one element is a special case of fill_, with other rules
  return sizes;
}

// Ones in the dtype and rank of the argument; with `keep_value` a number on the CPU as it is.
at::Tensor ones_like(const at::Tensor& tensor, bool keep_value, bool empty) {
  at::Tensor ones =
      at::empty(stand_in_sizes(tensor.dim(), empty), at::TensorOptions().dtype(tensor.scalar_type()).device(c10::kCPU));
  if (keep_value && tensor.is_cpu() && tensor.dim() == 0) {
    ones.copy_(tensor);
  } else {
    ones.fill_(1);
  }
  if (tensor.unsafeGetTensorImpl()->is_wrapped_number()) ones.unsafeGetTensorImpl()->set_wrapped_number(true);
  return ones;
}

// Of the shape that the operands have together. Not empty: CPU torch's binary_cross_entropy multiplies its output by
// the weight before it has resized it.
at::Tensor stand_in_of_output(const at::Tensor& out, c10::ArrayRef<c10::IValue> arguments,
                              const c10::FunctionSchema& schema, bool empty) {
  int64_t rank = 0;
  for (size_t i = 0; i < arguments.size(); ++i) {
    if (!schema.arguments()[i].is_out() && arguments[i].isTensor() && arguments[i].toTensor().defined())
      rank = std::max(rank, arguments[i].toTensor().dim());
  }
  return at::ones(stand_in_sizes(rank, empty), at::TensorOptions().dtype(out.scalar_type()));
}

// What the operator itself will say.
struct Silent final : c10::WarningHandler {
  void process(const c10::Warning& /*warning*/) override {}
};

// The arguments with their tensors replaced; with `values`, numbers are the caller's own.
torch::jit::Stack stand_ins(c10::ArrayRef<c10::IValue> arguments, const c10::FunctionSchema& schema, bool values) {
  torch::jit::Stack stack;
  const bool empty = are_empty(arguments, schema);
  for (size_t i = 0; i < arguments.size(); ++i) {
    const c10::IValue& argument = arguments[i];
    if (schema.arguments()[i].is_out()) {
      stack.emplace_back(stand_in_of_output(argument.toTensor(), arguments, schema, empty));
    } else if (argument.isTensor() && argument.toTensor().defined()) {
      stack.emplace_back(ones_like(argument.toTensor(), values, empty));
    } else if (!values && argument.isScalar() && !argument.isBool()) {
      stack.emplace_back(representative(argument.toScalar()));
    } else {
      stack.push_back(argument);
    }
  }
  return stack;
}

Answer ask_cpu(const c10::OperatorHandle& operation, c10::ArrayRef<c10::IValue> arguments, bool values) {
  const at::AutoDispatchBelowADInplaceOrView below_autograd;
  const c10::impl::ExcludeDispatchKeyGuard no_autocast(c10::autocast_dispatch_keyset);
  const at::DisableRecordFunctionGuard unrecorded;
  static Silent silent;
  const c10::WarningUtils::WarningHandlerGuard unheard(&silent);
  const auto refused = [](Refusal refusal, const c10::Error& error) {
    return Answer{c10::ScalarType::Undefined, refusal, error.msg()};
  };
  try {
    torch::jit::Stack stack = stand_ins(arguments, operation.schema(), values);
    operation.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), &stack);
    return {stack.front().toTensor().scalar_type(), Refusal::none, {}};
  } catch (const c10::NotImplementedError& error) {
    return refused(Refusal::not_implemented, error);
  } catch (const c10::TypeError& error) {
    return refused(Refusal::type_error, error);
  } catch (const c10::IndexError& error) {
    return refused(Refusal::index_error, error);
  } catch (const c10::ValueError& error) {
    return refused(Refusal::value_error, error);
  } catch (const c10::Error& error) {
    return refused(Refusal::error, error);
  } catch (const std::exception& error) {
    return {c10::ScalarType::Undefined, Refusal::error, error.what()};
  }
}

// Whether some number of the call may overflow one of the dtypes it meets.
bool has_wide_number(c10::ArrayRef<c10::IValue> arguments) {
  for (const c10::IValue& argument : arguments) {
    c10::Scalar number;
    if (is_cpu_number(argument)) {
      number = argument.toTensor().item();
    } else if (argument.isScalar() && !argument.isBool()) {
      number = argument.toScalar();
    } else {
      continue;
    }
    if (is_small(number)) continue;
    for (const c10::IValue& other : arguments) {
      if (other.isTensor() && other.toTensor().defined() && !is_cpu_number(other) &&
          !fits(number, other.toTensor().scalar_type()))
        return true;
    }
  }
  return false;
}

// An output that its shape refuses anyway: broadcasting never lowers a rank.
bool output_is_too_flat(c10::ArrayRef<c10::IValue> arguments) {
  const int64_t rank = arguments.front().toTensor().dim();
  return std::any_of(arguments.begin(), arguments.end(), [&](const c10::IValue& argument) {
    return argument.isTensor() && argument.toTensor().defined() && argument.toTensor().dim() > rank;
  });
}

}  // namespace

bool fits(const c10::Scalar& number, c10::ScalarType dtype) {
  if (number.isComplex()) return false;
  return AT_DISPATCH_V2(dtype, "fits", AT_WRAP([&] {
                          if (number.isFloatingPoint()) return !c10::overflows<scalar_t>(number.toDouble());
                          if (number.isBoolean()) return true;
                          return number.type() == c10::kUInt64 ? !c10::overflows<scalar_t>(number.toUInt64())
                                                               : !c10::overflows<scalar_t>(number.toLong());
                        }),
                        AT_EXPAND(AT_ALL_TYPES_AND_COMPLEX), AT_EXPAND(AT_BAREBONES_UNSIGNED_TYPES),
                        AT_EXPAND(AT_FLOAT8_TYPES), c10::kHalf, c10::kBFloat16, c10::kBool);
}

void check_fits(const c10::Scalar& number, c10::ScalarType dtype) {
  AT_DISPATCH_V2(dtype, "check_fits", AT_WRAP([&] { (void)number.to<scalar_t>(); }),
                 AT_EXPAND(AT_ALL_TYPES_AND_COMPLEX), AT_EXPAND(AT_BAREBONES_UNSIGNED_TYPES),
                 AT_EXPAND(AT_FLOAT8_TYPES), c10::kHalf, c10::kBFloat16, c10::kBool);
}

struct TypeRules::Verdict {
  Signature signature;
  Answer answer;
  const Verdict* next;
};

c10::ScalarType TypeRules::result(const c10::OperatorHandle& operation, c10::ArrayRef<c10::IValue> arguments) {
  TORCH_INTERNAL_ASSERT(arguments.size() <= max_arguments, name_, " has more than ", max_arguments, " arguments");
  if (in_place_ && output_is_too_flat(arguments)) return c10::ScalarType::Undefined;
  if (has_wide_number(arguments)) {
    const Answer answer = ask_cpu(operation, arguments, /*values=*/true);
    if (answer.refusal != Refusal::none) refuse(name_, answer);
    return answer.result;
  }
  Signature signature{};
  uint64_t hash = static_cast<uint64_t>(c10::get_default_dtype_as_scalartype());
  for (size_t i = 0; i < arguments.size(); ++i) {
    signature[i] = word_of(arguments[i]);
    hash = (hash ^ signature[i]) * 0x9E3779B97F4A7C15U;
  }
  signature[max_arguments] = static_cast<uint32_t>(c10::get_default_dtype_as_scalartype());
  std::atomic<const Verdict*>& chain = verdicts_[hash >> 60U];
  for (const Verdict* verdict = chain.load(std::memory_order_acquire); verdict != nullptr; verdict = verdict->next) {
    if (verdict->signature != signature) continue;
    if (verdict->answer.refusal != Refusal::none) refuse(name_, verdict->answer);
    return verdict->answer.result;
  }
  // Two threads that ask the same at once add the same verdict twice, which does no harm.
  auto verdict =
      std::make_unique<Verdict>(Verdict{signature, ask_cpu(operation, arguments, /*values=*/false), nullptr});
  const std::lock_guard lock(growing_);
  verdict->next = chain.load(std::memory_order_relaxed);
  const Answer& answer = verdict->answer;
  chain.store(verdict.release(), std::memory_order_release);
  if (answer.refusal != Refusal::none) refuse(name_, answer);
  return answer.result;
}

}  // namespace mtia::torch_backend
