// Registers the rows of the element-wise table: which overloads a row serves, and how a boxed call becomes operands.
#include <ATen/core/dispatch/Dispatcher.h>
#include <ATen/core/stack.h>
#include <ATen/native/Resize.h>
#include <ATen/ops/mean.h>
#include <ATen/ops/sum.h>
#include <c10/core/DefaultDtype.h>
#include <torch/library.h>

#include <algorithm>
#include <charconv>
#include <limits>
#include <map>
#include <mutex>
#include <optional>
#include <set>
#include <utility>

#include "base/error.h"
#include "torch_backend/launching/operator_scope.h"
#include "torch_backend/operators/complex.h"
#include "torch_backend/operators/elementwise.h"
#include "torch_backend/operators/promotion.h"
#include "torch_backend/operators/type_rules.h"

namespace mtia::torch_backend {
namespace {

constexpr int64_t reduction_mean = 1;

// A number argument with one of these names counts in type promotion, as a Python number in an expression does.
const std::set<std::string>& promoting_numbers() {
  static const std::set<std::string> names{"self", "other", "exponent", "min", "max", "values"};
  return names;
}

// "argument=value" of a narrowed overload.
struct Condition {
  std::string argument;
  std::string value;
  std::optional<double> number;
  size_t position = 0;

  bool holds(const c10::IValue& actual) const {
    if (actual.isNone()) return value == "None";
    if (actual.isString()) return actual.toStringRef() == value;
    if (actual.isBool()) return value == (actual.toBool() ? "True" : "False");
    if (!number || !actual.isScalar()) return false;
    const c10::Scalar scalar = actual.toScalar();
    return !scalar.isComplex() && scalar.toDouble() == *number;
  }
};

struct Operand {
  static constexpr int mean_norm = -1;  // the table's `norm`: 1 / numel for the mean of a loss, else 1
  int position = 0;                     // argument of the schema
  bool promotes = true;                 // counts in type promotion
  bool keeps_dtype = false;             // a condition or mask
  enum class Absent : uint8_t {
    one,
    zero,
    largest,
    smallest
  } absent = Absent::one;  // what None stands for: a weight is 1
};

double largest_of(c10::ScalarType dtype) {
  switch (dtype) {
    case c10::kHalf:
      return 65504.0;
    case c10::kBFloat16:
      return 3.3895313892515355e38;
    case c10::kDouble:
      return std::numeric_limits<double>::max();
    default:
      return std::numeric_limits<float>::max();
  }
}

c10::Scalar default_of(const Operand& operand, c10::ScalarType dtype) {
  switch (operand.absent) {
    case Operand::Absent::zero:
      return 0.0;
    case Operand::Absent::largest:
      return largest_of(dtype);
    case Operand::Absent::smallest:
      return -largest_of(dtype);
    default:
      return 1.0;
  }
}

// nan_to_num's defaults; every other operand that may be absent is a weight.
Operand::Absent absent_of(const std::string& operand) {
  if (operand == "nan") return Operand::Absent::zero;
  if (operand == "posinf") return Operand::Absent::largest;
  return operand == "neginf" ? Operand::Absent::smallest : Operand::Absent::one;
}

struct Alternative {
  KernelId kernel;
  std::optional<KernelId> complex_kernel;
  bool complex_result_is_real;
  bool promote_to_float;
  bool result_is_bool;
  std::vector<Condition> conditions;
  std::vector<Operand> operands;
  std::vector<size_t> baked;  // numbers that count in promotion and are no operand, such as the exponent of a square
};

std::pair<std::string, std::vector<Condition>> parse_operator(const std::string& text) {
  const size_t bracket = text.find('[');
  std::vector<Condition> conditions;
  if (bracket == std::string::npos) return {text, conditions};
  std::string inside = text.substr(bracket + 1, text.size() - bracket - 2);
  for (size_t begin = 0; begin < inside.size();) {
    const size_t end = std::min(inside.find(',', begin), inside.size());
    const std::string condition = inside.substr(begin, end - begin);
    const size_t equals = condition.find('=');
    Condition parsed{condition.substr(0, equals), condition.substr(equals + 1), std::nullopt};
    double number = 0;
    const char* last = parsed.value.data() + parsed.value.size();
    if (std::from_chars(parsed.value.data(), last, number).ptr == last) parsed.number = number;
    conditions.push_back(std::move(parsed));
    begin = end + 1;
  }
  return {text.substr(0, bracket), conditions};
}

enum class Form : uint8_t { functional, in_place, out };

// The kernel of one overload: chooses the alternative whose conditions hold and runs it.
class ElementwiseOperator final : public c10::OperatorKernel {
 public:
  ElementwiseOperator(std::string name, Form form, size_t returns, std::optional<size_t> output,
                      std::optional<size_t> reduction, std::vector<Alternative> alternatives)
      : name_(std::move(name)),
        form_(form),
        rules_(name_, form == Form::in_place),
        returns_(returns),
        output_(output),
        reduction_(reduction),
        alternatives_(std::move(alternatives)) {}

  void operator()(const c10::OperatorHandle& handle, c10::DispatchKeySet, torch::jit::Stack* stack) {
    const size_t count = handle.schema().arguments().size();
    const c10::ArrayRef<c10::IValue> arguments = torch::jit::last(*stack, count);
    at::Tensor result = run(handle, arguments);
    std::vector<c10::IValue> results;
    if (returns_ > 1) {  // log_sigmoid's buffer, which only the CPU's kernels use
      results.emplace_back(form_ == Form::out ? arguments[*output_ + 1].toTensor() : result.new_empty({0}));
    }
    torch::jit::drop(*stack, count);
    stack->emplace_back(std::move(result));
    for (c10::IValue& extra : results) stack->push_back(std::move(extra));
  }

 private:
  at::Tensor run(const c10::OperatorHandle& handle, c10::ArrayRef<c10::IValue> arguments) {
    const OperatorScope scope(name_.c_str());
    const c10::ScalarType ruled = rules_.result(handle, arguments);
    const int64_t reduction = reduction_ ? arguments[*reduction_].toInt() : 0;
    const Alternative& alternative = choose(arguments, reduction);
    c10::SmallVector<ElementwiseOperand, 4> operands;
    Promotion promotion;
    for (const Operand& operand : alternative.operands) {
      if (operand.position == Operand::mean_norm) {
        operands.emplace_back(c10::Scalar(
            reduction == reduction_mean ? 1.0 / static_cast<double>(arguments[1].toTensor().numel()) : 1.0));
        continue;
      }
      const c10::IValue& argument = arguments[static_cast<size_t>(operand.position)];
      if (argument.isTensor() && argument.toTensor().defined()) {
        const at::Tensor& tensor = argument.toTensor();
        operands.emplace_back(tensor);
        operands.back().keeps_dtype = operand.keeps_dtype;
        if (operand.promotes) promotion.add(tensor);
      } else if (argument.isNone() || argument.isTensor()) {
        operands.emplace_back(default_of(operand, promotion.result()));
      } else {
        operands.emplace_back(argument.toScalar());
        if (operand.promotes) promotion.add(operands.back().number);
      }
    }
    for (const size_t position : alternative.baked) promotion.add(arguments[position].toScalar());
    c10::ScalarType compute = promotion.result();
    if (compute == c10::ScalarType::Undefined)
      compute = arguments[*output_].toTensor().scalar_type();  // fill_: nothing but a number
    if (alternative.promote_to_float && c10::isIntegralType(compute, /*includeBool=*/true))
      compute = c10::get_default_dtype_as_scalartype();

    const at::Tensor undefined;
    const bool reduce_after =
        reduction != 0 && !alternative.conditions.empty() && alternative.conditions.front().argument == "reduction";
    const at::Tensor& out = output_ && !reduce_after ? arguments[*output_].toTensor() : undefined;
    c10::ScalarType result = alternative.result_is_bool ? c10::kBool : compute;
    if (!output_ && ruled != c10::ScalarType::Undefined && !c10::isComplexType(ruled)) {
      result = ruled;
      // Integers of which the operator makes floats.
      if (c10::isFloatingType(ruled) && c10::isIntegralType(compute, /*includeBool=*/true)) compute = ruled;
    }
    if (c10::isComplexType(compute)) {
      TORCH_CHECK_NOT_IMPLEMENTED(alternative.complex_kernel.has_value(), name_, " of ", compute,
                                  " has no kernel on mtia_sim; compute with torch.view_as_real, or on the CPU: "
                                  "tensor.cpu()");
      const c10::ScalarType of_parts = c10::toRealValueType(compute);
      return complex_elementwise(*alternative.complex_kernel, out, form_ == Form::out, operands, compute,
                                 alternative.result_is_bool           ? c10::kBool
                                 : alternative.complex_result_is_real ? of_parts
                                                                      : compute);
    }
    at::Tensor computed = elementwise(alternative.kernel, out, operands, compute, result);
    if (!reduce_after) return computed;
    at::Tensor reduced = reduction == reduction_mean ? computed.mean() : computed.sum();
    if (!output_) return reduced;
    const at::Tensor& target = arguments[*output_].toTensor();
    target.resize_({});
    return target.copy_(reduced);
  }

  const Alternative& choose(c10::ArrayRef<c10::IValue> arguments, int64_t reduction) const {
    for (const Alternative& alternative : alternatives_) {
      const bool holds =
          std::all_of(alternative.conditions.begin(), alternative.conditions.end(), [&](const Condition& condition) {
            return (condition.argument == "reduction" && reduction != 0) ||
                   condition.holds(arguments[condition.position]);
          });
      if (holds) return alternative;
    }
    TORCH_CHECK_NOT_IMPLEMENTED(
        false, name_,
        " has no kernel for these argument values on mtia_sim; add a row to kernels/triton/elementwise_table.py, ",
        "or compute it on the CPU: tensor.cpu()");
  }

  std::string name_;
  Form form_;
  TypeRules rules_;
  size_t returns_;
  std::optional<size_t> output_;
  std::optional<size_t> reduction_;
  std::vector<Alternative> alternatives_;
};

std::optional<size_t> position_of(const c10::FunctionSchema& schema, const std::string& argument) {
  const auto position = schema.argumentIndexWithName(argument);
  return position ? std::optional<size_t>(static_cast<size_t>(*position)) : std::nullopt;
}

// The row's operands as argument positions of one schema.
Alternative bind(const ElementwiseRow& row, std::vector<Condition> conditions, const c10::FunctionSchema& schema) {
  const auto missing = [&](const std::string& argument) {
    return InvalidArgument(concat("row '", row.name, "' names the argument '", argument, "', which ",
                                  schema.operator_name(), " does not have"),
                           "elementwise_table.py", "use the schema's argument names");
  };
  Alternative alternative{KernelId("elementwise." + row.name),
                          row.has_complex ? std::optional(KernelId("complex." + row.name)) : std::nullopt,
                          row.complex_result_is_real,
                          row.promote_to_float,
                          row.result_is_bool,
                          std::move(conditions),
                          {},
                          {}};
  for (Condition& condition : alternative.conditions) {
    const auto position = position_of(schema, condition.argument);
    if (!position) throw missing(condition.argument);
    condition.position = *position;
    if (condition.number && promoting_numbers().contains(condition.argument)) alternative.baked.push_back(*position);
  }
  for (const std::string& name : row.operands) {
    const auto position = position_of(schema, name);
    if (!position && name == "norm" && position_of(schema, "reduction")) {
      alternative.operands.push_back({Operand::mean_norm, false, false});
      continue;
    }
    if (!position) throw missing(name);
    const bool is_number = !schema.arguments()[*position].type()->isSubtypeOf(*c10::OptionalType::ofTensor());
    const bool unpromoted = std::find(row.unpromoted.begin(), row.unpromoted.end(), name) != row.unpromoted.end();
    alternative.operands.push_back({static_cast<int>(*position),
                                    !unpromoted && (!is_number || promoting_numbers().contains(name)), unpromoted,
                                    absent_of(name)});
  }
  return alternative;
}

struct RowUse {
  const ElementwiseRow* row;
  std::vector<Condition> conditions;
};

std::vector<std::string> inputs_of(const c10::FunctionSchema& schema) {
  std::vector<std::string> names;
  for (const c10::Argument& argument : schema.arguments()) {
    if (!argument.is_out()) names.push_back(argument.name() + ":" + argument.type()->str());
  }
  return names;
}

std::optional<size_t> first_out(const c10::FunctionSchema& schema) {
  for (size_t i = 0; i < schema.arguments().size(); ++i) {
    if (schema.arguments()[i].is_out()) return i;
  }
  return std::nullopt;
}

// Operators that this extension's own files registered, seen before any program could register one.
std::set<std::string>& own_operators() {
  static std::set<std::string> names;
  return names;
}

// Rows whose operator a program had given a kernel of its own by the device's first use: that one stays. They are
// registered when it is gone, at the first call that finds no kernel.
struct Displaced {
  std::mutex mutex;
  std::map<std::string, torch::CppFunction> kernels;
};

Displaced& displaced() {
  static auto* rows = new Displaced;
  return *rows;
}

class Registrar {
 public:
  Registrar() : library_(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__) {
    for (const c10::OperatorName& name : c10::Dispatcher::singleton().getAllOpNames()) {
      if (name.name.starts_with("aten::")) overloads_[name.name].push_back(name);
    }
  }

  void add(const std::string& overload, const std::vector<RowUse>& uses) {
    const size_t dot = overload.find('.');
    const std::string base = "aten::" + overload.substr(0, dot);
    const std::string suffix = dot == std::string::npos ? "" : overload.substr(dot + 1);
    const auto functional = c10::Dispatcher::singleton().findSchema({base, suffix});
    if (!functional) {
      throw InvalidArgument(concat("the element-wise table serves ", overload, ", which torch does not have"),
                            "elementwise_table.py", "correct the overload's name");
    }
    const std::vector<std::string> inputs = inputs_of(functional->schema());
    if (serves_a_tensor(uses, functional->schema())) add_form(*functional, Form::functional, uses, std::nullopt);
    // By its operands, as for outputs: floor_divide's in-place form is an overload of another name. That of Python's
    // `__lshift__` is `__ilshift__`.
    const bool is_python = base.starts_with("aten::__");
    for (const c10::OperatorName& name : overloads_[is_python ? "aten::__i" + base.substr(8) : base + "_"]) {
      const auto in_place = c10::Dispatcher::singleton().findSchema(name);
      if (in_place && (name.overload_name == suffix || inputs_of(in_place->schema()) == inputs))
        add_form(*in_place, Form::in_place, uses, 0);
    }
    for (const c10::OperatorName& name : overloads_[base]) {
      const auto handle = c10::Dispatcher::singleton().findSchema(name);
      if (!handle) continue;
      const std::optional<size_t> out = first_out(handle->schema());
      if (out && inputs_of(handle->schema()) == inputs) add_form(*handle, Form::out, uses, out);
    }
  }

  std::vector<std::string> registered() && { return std::move(registered_); }
  static void keep(Registrar registrar) { keep(std::move(registrar.library_)); }
  static void keep(torch::Library library) {
    static std::vector<torch::Library>* libraries = new std::vector<torch::Library>;
    libraries->push_back(std::move(library));
  }

 private:
  static bool serves_a_tensor(const std::vector<RowUse>& uses, const c10::FunctionSchema& schema) {
    const Alternative alternative = bind(*uses.front().row, {}, schema);
    return std::any_of(alternative.operands.begin(), alternative.operands.end(), [&](const Operand& operand) {
      return operand.position >= 0 &&
             schema.arguments()[static_cast<size_t>(operand.position)].type()->kind() == c10::TypeKind::TensorType;
    });
  }

  void add_form(const c10::OperatorHandle& handle, Form form, const std::vector<RowUse>& uses,
                std::optional<size_t> output) {
    // A composite operator without a gradient of its own: a kernel would cut it off.
    if (handle.hasKernelForDispatchKey(c10::DispatchKey::CompositeImplicitAutograd) &&
        !handle.hasKernelForDispatchKey(c10::DispatchKey::Autograd)) {
      return;
    }
    const std::string name = c10::toString(handle.schema().operator_name());
    const bool taken = handle.hasKernelForDispatchKey(c10::DispatchKey::PrivateUse1);
    if (taken && own_operators().contains(name)) {
      throw InvalidArgument(concat(name, " has a kernel in csrc/torch_backend and a row in the element-wise table"),
                            "elementwise_table.py", "keep one of the two");
    }
    const c10::FunctionSchema& schema = handle.schema();
    std::vector<Alternative> alternatives;
    for (const RowUse& use : uses) alternatives.push_back(bind(*use.row, use.conditions, schema));
    std::stable_sort(alternatives.begin(), alternatives.end(), [](const Alternative& a, const Alternative& b) {
      return a.conditions.size() > b.conditions.size();
    });
    torch::CppFunction kernel = torch::CppFunction::makeFromBoxedFunctor(std::make_unique<ElementwiseOperator>(
        name, form, schema.returns().size(), output, position_of(schema, "reduction"), std::move(alternatives)));
    registered_.push_back(name);
    if (taken) {
      const std::lock_guard lock(displaced().mutex);
      displaced().kernels.insert_or_assign(name, std::move(kernel));
    } else {
      library_.impl(name.c_str(), std::move(kernel));
    }
  }

  torch::Library library_;
  std::map<std::string, std::vector<c10::OperatorName>> overloads_;
  std::vector<std::string> registered_;
};

}  // namespace

void note_own_operators() {
  for (const c10::OperatorName& name :
       c10::Dispatcher::singleton().getAllOpNamesForDispatchKey(c10::DispatchKey::PrivateUse1))
    own_operators().insert(c10::toString(name));
}

bool restore_displaced(const std::string& name) {
  const std::lock_guard lock(displaced().mutex);
  const auto found = displaced().kernels.find(name);
  if (found == displaced().kernels.end()) return false;
  torch::Library library(torch::Library::IMPL, "aten", c10::DispatchKey::PrivateUse1, __FILE__, __LINE__);
  library.impl(name.c_str(), std::move(found->second));
  displaced().kernels.erase(found);
  Registrar::keep(std::move(library));
  return true;
}

std::vector<std::string> register_elementwise(std::vector<ElementwiseRow> rows) {
  std::map<std::string, std::vector<RowUse>> uses;
  for (const ElementwiseRow& row : rows) {
    for (const std::string& text : row.operators) {
      auto [overload, conditions] = parse_operator(text);
      uses[overload].push_back({&row, std::move(conditions)});
    }
  }
  Registrar registrar;
  for (const auto& [overload, alternatives] : uses) registrar.add(overload, alternatives);
  std::vector<std::string> registered = std::move(registrar).registered();
  Registrar::keep(std::move(registrar));
  return registered;
}

}  // namespace mtia::torch_backend
