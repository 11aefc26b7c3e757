// A stack of operators a thread; forward lines are kept by the sequence numbers that autograd's nodes carry.
#include "torch_backend/launching/operator_trace.h"

#include <ATen/record_function.h>

#include <memory>
#include <mutex>
#include <string_view>
#include <unordered_map>
#include <vector>

namespace mtia::torch_backend {
namespace {

constexpr size_t most_forward_lines = size_t{1} << 20;

struct Trace {
  std::mutex mutex;
  int users = 0;
  at::CallbackHandle handle = at::INVALID_CALLBACK_HANDLE;
  std::string (*python_line)() = nullptr;
  std::unordered_map<int64_t, std::string> forward_lines;
  std::unordered_map<uint64_t, std::vector<OperatorPlace>> stacks;  // by RecordFunction's number of the thread
  uint64_t latest_thread = 0;
};

Trace& trace() {
  static auto* one = new Trace;  // callbacks may run while the process ends
  return *one;
}

std::unique_ptr<at::ObserverContext> enter(const at::RecordFunction& function) {
  Trace& all = trace();
  const bool is_backward = function.scope() == at::RecordScope::BACKWARD_FUNCTION;
  std::string line = is_backward ? std::string() : all.python_line();
  const uint64_t thread = at::RecordFunction::currentThreadId();
  const std::lock_guard lock(all.mutex);
  std::vector<OperatorPlace>& stack = all.stacks[thread];
  std::string_view name = function.name();
  constexpr std::string_view engine = "autograd::engine::evaluate_function: ";
  if (name.substr(0, engine.size()) == engine) name.remove_prefix(engine.size());
  OperatorPlace place{std::string(name), std::move(line)};
  if (is_backward) {
    const auto forward = all.forward_lines.find(function.seqNr());
    if (forward != all.forward_lines.end()) place.caller = forward->second;
  } else if (function.seqNr() >= 0 && !place.caller.empty()) {
    if (all.forward_lines.size() >= most_forward_lines) all.forward_lines.clear();
    // Operators without a gradient have the number of the next one that has: the last with it makes the node.
    all.forward_lines.insert_or_assign(function.seqNr(), place.caller);
  }
  stack.push_back(std::move(place));
  all.latest_thread = thread;
  return nullptr;
}

void leave(const at::RecordFunction&, at::ObserverContext*) {
  Trace& all = trace();
  const uint64_t thread = at::RecordFunction::currentThreadId();
  const std::lock_guard lock(all.mutex);
  std::vector<OperatorPlace>& stack = all.stacks[thread];
  if (!stack.empty()) stack.pop_back();
  all.latest_thread = thread;
}

}  // namespace

OperatorTrace::OperatorTrace(std::string (*python_line)()) {
  Trace& all = trace();
  const std::lock_guard lock(all.mutex);
  all.python_line = python_line;
  if (all.users++ != 0) return;
  all.stacks.clear();
  all.forward_lines.clear();
  all.handle = at::addGlobalCallback(at::RecordFunctionCallback(&enter, &leave)
                                         .scopes({at::RecordScope::FUNCTION, at::RecordScope::BACKWARD_FUNCTION}));
}

OperatorTrace::~OperatorTrace() {
  Trace& all = trace();
  const std::lock_guard lock(all.mutex);
  if (--all.users == 0) at::removeCallback(all.handle);
}

OperatorPlace OperatorTrace::current() {
  Trace& all = trace();
  const std::lock_guard lock(all.mutex);
  const auto found = all.stacks.find(all.latest_thread);
  if (found == all.stacks.end() || found->second.empty()) return {};
  const std::vector<OperatorPlace>& stack = found->second;
  OperatorPlace place;
  for (const OperatorPlace& entry : stack) {
    // The node of autograd, the operator that it calls, and no more of what these are made of than the last.
    if (&entry != &stack.front() && &entry != &stack.back()) continue;
    place.name += (place.name.empty() ? "" : ": ") + entry.name;
  }
  for (const OperatorPlace& entry : stack) {
    if (place.caller.empty()) place.caller = entry.caller;
  }
  return place;
}

}  // namespace mtia::torch_backend
