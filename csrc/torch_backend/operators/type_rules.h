// What an operator makes of the dtypes of its arguments: CPU torch's rules, asked of CPU torch itself.
//
// torch has no table of them: they lie in the checks, iterators and dispatch macros of each CPU kernel. So the first
// call with a signature (dtypes, ranks and kinds of numbers, no values) runs the operator's CPU kernel on small
// tensors of ones, and the verdict is kept. A call that the CPU refuses is refused here with the same exception type.
#pragma once

#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <c10/core/Scalar.h>
#include <c10/core/ScalarType.h>

#include <array>
#include <atomic>
#include <cstdint>
#include <mutex>
#include <string>

namespace mtia::torch_backend {

// Whether CPU torch converts a number to the dtype without "value cannot be converted to type ... without overflow".
bool fits(const c10::Scalar& number, c10::ScalarType dtype);
// Raises that RuntimeError where it does not.
void check_fits(const c10::Scalar& number, c10::ScalarType dtype);

// The rules of one overload; calls may come from any thread. `in_place`: the first argument receives the result.
class TypeRules {
 public:
  TypeRules(std::string name, bool in_place) : name_(std::move(name)), in_place_(in_place) {}

  // The dtype of the first result on the CPU; raises where CPU torch refuses the dtypes or one of the numbers.
  // Undefined where the rules do not apply: in place on fewer dimensions than another operand has.
  c10::ScalarType result(const c10::OperatorHandle& operation, c10::ArrayRef<c10::IValue> arguments);

 private:
  static constexpr size_t max_arguments = 10;
  // Of each argument its kind, dtype, rank and sign, then the default dtype.
  using Signature = std::array<uint32_t, max_arguments + 1>;
  struct Verdict;

  std::string name_;
  bool in_place_;
  static constexpr size_t buckets = 16;
  std::array<std::atomic<const Verdict*>, buckets> verdicts_{};  // chains that only grow
  std::mutex growing_;
};

}  // namespace mtia::torch_backend
