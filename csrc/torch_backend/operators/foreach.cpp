// torch's _foreach_* operators: one launch takes whole lists of tensors through a row of the element-wise table. What
// the launch cannot take (integers, mixed dtypes or layouts, tensors that overlap, lists of different lengths) goes
// tensor by tensor, or is refused, as torch has it.
#include <ATen/core/Tensor.h>
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/ivalue.h>
#include <ATen/core/stack.h>
#include <ATen/ops/empty_like.h>
#include <torch/library.h>

#include <algorithm>
#include <cmath>
#include <map>
#include <optional>
#include <string>
#include <utility>
#include <vector>

#include "torch_backend/launching/chunk_table.h"
#include "torch_backend/launching/launch.h"
#include "torch_backend/operators/allocate.h"

namespace mtia::torch_backend {
namespace {

// How an operand comes: kernels/triton/foreach.py has the same numbers.
enum class Kind : uint8_t { list, number, numbers, device_number };

struct Operand {
  Kind kind = Kind::number;
  std::vector<at::Tensor> list;
  std::vector<c10::Scalar> numbers;
  at::Tensor device_number;
};

bool is_taken(c10::ScalarType dtype) {
  return dtype == c10::kFloat || dtype == c10::kBFloat16 || dtype == c10::kHalf || dtype == c10::kDouble;
}

bool same_layout(const at::Tensor& a, const at::Tensor& b) {
  return a.device() == b.device() && a.sizes() == b.sizes() && a.strides() == b.strides();
}

struct Place {
  uint64_t begin;
  uint64_t end;
  size_t tuple;
};

Place place_of(const at::Tensor& tensor, size_t tuple) {
  const auto begin = address_to_read(tensor);
  return {begin, begin + tensor.nbytes(), tuple};
}

// Whether no output overlaps another one, or an input but in the same place of its own tuple: then the order of the
// tuples does not matter.
bool are_independent(const std::vector<at::Tensor>& outputs, const std::vector<Operand>& operands) {
  std::vector<Place> places;
  for (size_t i = 0; i < outputs.size(); ++i) {
    if (outputs[i].numel() != 0) places.push_back(place_of(outputs[i], i));
  }
  std::sort(places.begin(), places.end(), [](const Place& a, const Place& b) { return a.begin < b.begin; });
  for (size_t i = 1; i < places.size(); ++i) {
    if (places[i].begin < places[i - 1].end) return false;
  }
  for (const Operand& operand : operands) {
    for (size_t i = 0; i < operand.list.size(); ++i) {
      const Place input = place_of(operand.list[i], i);
      auto output = std::upper_bound(places.begin(), places.end(), input.begin,
                                     [](uint64_t address, const Place& place) { return address < place.end; });
      for (; output != places.end() && output->begin < input.end; ++output) {
        if (output->tuple != i || output->begin != input.begin) return false;
      }
    }
  }
  return true;
}

// One operand of a call, or nothing where the launch cannot take it.
std::optional<Operand> operand_of(const c10::IValue& argument, size_t tuples) {
  Operand operand;
  if (argument.isTensorList()) {
    operand.kind = Kind::list;
    operand.list = argument.toTensorVector();
    if (operand.list.size() != tuples) return std::nullopt;
  } else if (argument.isTensor()) {
    const at::Tensor& tensor = argument.toTensor();
    if (!is_taken(tensor.scalar_type())) return std::nullopt;
    if (tensor.is_cpu() && tensor.dim() == 1) {  // addcmul's and addcdiv's
      operand.kind = Kind::numbers;
      for (int64_t i = 0; i < tensor.numel(); ++i) operand.numbers.push_back(tensor[i].item());
    } else if (tensor.dim() != 0) {
      return std::nullopt;
    } else if (tensor.is_cpu()) {
      operand.numbers.push_back(tensor.item());
    } else {
      operand.kind = Kind::device_number;
      operand.device_number = tensor;
    }
  } else if (argument.isList()) {
    operand.kind = Kind::numbers;
    for (const c10::IValue& number : argument.toListRef()) operand.numbers.push_back(number.toScalar());
  } else {
    operand.numbers.push_back(argument.toScalar());
  }
  const bool complex = std::any_of(operand.numbers.begin(), operand.numbers.end(),
                                   [](const c10::Scalar& number) { return number.isComplex(); });
  if (complex || (operand.kind == Kind::numbers && operand.numbers.size() != tuples)) return std::nullopt;
  return operand;
}

// Runs a call as one launch, or else as torch's own kernel for lists does.
class ListOperator : public c10::OperatorKernel {
 public:
  void operator()(const c10::OperatorHandle& handle, c10::DispatchKeySet, torch::jit::Stack* stack) {
    const size_t count = handle.schema().arguments().size();
    std::vector<at::Tensor> results;
    if (!run(handle.schema(), torch::jit::last(*stack, count), results)) {
      // The CPU's kernel of these operators is a loop over the tensors.
      return handle.redispatchBoxed(c10::DispatchKeySet(c10::DispatchKey::CPU), stack);
    }
    torch::jit::drop(*stack, count);
    if (!handle.schema().returns().empty()) stack->emplace_back(std::move(results));
  }

 protected:
  virtual bool run(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments,
                   std::vector<at::Tensor>& results) const = 0;
};

class ForeachOperator final : public ListOperator {
 public:
  // `scaled`: the row that takes alpha where it is not 1.
  ForeachOperator(const std::string& row, const std::optional<std::string>& scaled)
      : kernel_("foreach." + row), fills_(row == "fill") {
    if (scaled) scaled_.emplace("foreach." + *scaled);
  }

 private:
  bool run(const c10::FunctionSchema& schema, c10::ArrayRef<c10::IValue> arguments,
           std::vector<at::Tensor>& results) const override {
    const KernelId* kernel = &kernel_;
    std::vector<Operand> operands;
    const auto first_list = std::find_if(arguments.begin(), arguments.end(),
                                         [](const c10::IValue& argument) { return argument.isTensorList(); });
    const std::vector<at::Tensor> reference = first_list->toTensorVector();
    if (reference.empty() || !is_taken(reference[0].scalar_type())) return false;
    for (size_t i = 0; i < arguments.size(); ++i) {
      const std::string& name = schema.arguments()[i].name();
      if (name == "non_blocking") continue;
      if (name == "alpha") {
        const c10::Scalar alpha = arguments[i].toScalar();
        if (alpha.isComplex() || alpha.isBoolean()) return false;
        if (alpha.toDouble() == 1.0) continue;
        kernel = &*scaled_;
      }
      std::optional<Operand> operand = operand_of(arguments[i], reference.size());
      if (!operand) return false;
      operands.push_back(std::move(*operand));
    }
    const bool copies = schema.name().starts_with("aten::_foreach_copy");
    if (!fits(reference, operands, copies)) return false;
    const bool in_place = schema.returns().empty();
    for (const at::Tensor& tensor : reference) results.push_back(in_place ? tensor : at::empty_like(tensor));
    if (in_place && !are_independent(results, operands)) return false;
    if (copies) operands.erase(operands.begin());  // what is there does not matter
    if (fills_) operands.assign(1, Operand{Kind::number, {}, {c10::Scalar(0.0)}, {}});
    launch(*kernel, results, operands);
    return true;
  }

  static bool fits(const std::vector<at::Tensor>& reference, const std::vector<Operand>& operands, bool converts) {
    const at::Tensor& first = reference[0];
    for (const Operand& operand : operands) {
      if (operand.device_number.defined() && (operand.device_number.device() != first.device() ||
                                              operand.device_number.scalar_type() != first.scalar_type()))
        return false;
      for (size_t i = 0; i < operand.list.size(); ++i) {
        const at::Tensor& tensor = operand.list[i];
        const c10::ScalarType dtype = operand.list[0].scalar_type();
        if (tensor.device() != first.device() || tensor.scalar_type() != dtype || !is_taken(dtype)) return false;
        if (dtype != first.scalar_type() && !converts) return false;
        if (!same_layout(tensor, reference[i]) || !tensor.is_non_overlapping_and_dense()) return false;
      }
    }
    return first.is_privateuseone();
  }

  static void launch(const KernelId& kernel, const std::vector<at::Tensor>& outputs,
                     const std::vector<Operand>& operands) {
    const at::Tensor& first = outputs[0];
    const DType compute = first.scalar_type() == c10::kDouble ? DType::F64 : DType::F32;
    const c10::DeviceIndex device = first.device().index();
    ChunkTable table;
    std::vector<at::Tensor> tensors;
    std::vector<uint64_t> words;
    for (size_t i = 0; i < outputs.size(); ++i) {
      tensors.assign(1, outputs[i]);
      words.clear();
      for (const Operand& operand : operands) {
        if (operand.kind == Kind::list) tensors.push_back(operand.list[i]);
        if (operand.kind == Kind::numbers) words.push_back(ScalarArgument(operand.numbers[i]).bits(compute));
      }
      table.add(tensors, 1, words);
    }
    if (table.rows() == 0) return;
    KernelCall call(kernel, device);
    call.tensor(table.on_device(device));
    at::Tensor device_number;
    for (const Operand& operand : operands) {
      if (operand.kind == Kind::device_number) device_number = operand.device_number;
    }
    call.tensor(device_number).dtype(first.scalar_type()).size(table.rows());
    for (const Operand& operand : operands) {
      call.dtype(operand.kind == Kind::list ? operand.list[0].scalar_type() : first.scalar_type());
      call.size(static_cast<int64_t>(operand.kind));
      if (operand.kind == Kind::number) call.scalar(operand.numbers[0]);
    }
    for (const at::Tensor& output : outputs) call.reachable(output);
    for (const Operand& operand : operands) {
      for (const at::Tensor& tensor : operand.list) call.reachable(tensor);
    }
    call.launch();
  }

  KernelId kernel_;
  std::optional<KernelId> scaled_;
  bool fills_;
};

class ForeachNorm final : public ListOperator {
  bool run(const c10::FunctionSchema&, c10::ArrayRef<c10::IValue> arguments,
           std::vector<at::Tensor>& results) const override {
    static const KernelId kernel("foreach_norm");
    const std::vector<at::Tensor> list = arguments[0].toTensorVector();
    if (list.empty() || !list[0].is_privateuseone() || !is_taken(list[0].scalar_type()) || !arguments[2].isNone())
      return false;
    const c10::Scalar order = arguments[1].toScalar();
    if (order.isComplex()) return false;
    const double p = order.toDouble();
    if (p != 1.0 && p != 2.0 && p != INFINITY) return false;
    ChunkTable chunks;
    ChunkTable tensors;
    for (const at::Tensor& tensor : list) {
      if (tensor.device() != list[0].device() || tensor.scalar_type() != list[0].scalar_type() || tensor.numel() == 0 ||
          !tensor.is_non_overlapping_and_dense())
        return false;
      const int64_t before = chunks.rows();
      chunks.add({tensor}, 0);
      tensors.add_row(static_cast<uint64_t>(before), {static_cast<uint64_t>(chunks.rows() - before)});
    }
    const c10::DeviceIndex device = list[0].device().index();
    const auto count = static_cast<int64_t>(list.size());
    const at::Tensor norms = empty_device({count}, list[0].scalar_type(), list[0].device());
    KernelCall call(kernel, device);
    call.tensor(norms).tensor(chunks.on_device(device)).tensor(tensors.on_device(device));
    call.dtype(list[0].scalar_type());
    for (const at::Tensor& tensor : list) call.reachable(tensor);
    call.sizes({count, chunks.rows(), p == INFINITY ? 0 : static_cast<int64_t>(p)});
    call.launch();
    for (int64_t i = 0; i < count; ++i) results.push_back(norms.select(0, i));
    return true;
  }
};

// Rows of the element-wise table by what follows "_foreach_"; a second one takes alpha.
const std::map<std::string, std::pair<std::string, std::optional<std::string>>>& rows() {
  static const auto* made = [] {
    auto* map = new std::map<std::string, std::pair<std::string, std::optional<std::string>>>;
    for (const char* name :
         {"abs",   "acos",    "asin",    "atan",    "ceil", "cos",     "cosh",    "erf",        "erfc",
          "exp",   "expm1",   "floor",   "frac",    "log",  "log10",   "log1p",   "log2",       "neg",
          "round", "rsqrt",   "sign",    "sigmoid", "sin",  "sinh",    "sqrt",    "reciprocal", "tan",
          "tanh",  "trunc",   "lgamma",  "mul",     "div",  "maximum", "minimum", "clamp_min",  "clamp_max",
          "pow",   "addcmul", "addcdiv", "lerp",    "copy"})
      map->emplace(name, std::pair{std::string(name), std::nullopt});
    map->emplace("zero", std::pair{std::string("fill"), std::nullopt});
    map->emplace("add", std::pair{std::string("add"), std::string("add_scaled")});
    map->emplace("sub", std::pair{std::string("sub"), std::string("sub_scaled")});
    return map;
  }();
  return *made;
}

void register_foreach(torch::Library& library) {
  const std::string prefix = "aten::_foreach_";
  for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
    if (!name.name.starts_with(prefix) || name.overload_name.ends_with("out")) continue;
    std::string base = name.name.substr(prefix.size());
    if (base.ends_with('_')) base.pop_back();
    const std::string full = c10::toString(name);
    if (base == "norm") {
      library.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunctor(std::make_unique<ForeachNorm>()));
    } else if (const auto row = rows().find(base); row != rows().end()) {
      library.impl(full.c_str(), torch::CppFunction::makeFromBoxedFunctor(
                                     std::make_unique<ForeachOperator>(row->second.first, row->second.second)));
    }
  }
}

}  // namespace
}  // namespace mtia::torch_backend

TORCH_LIBRARY_IMPL(aten, PrivateUse1, library) { mtia::torch_backend::register_foreach(library); }
