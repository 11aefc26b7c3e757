// Which operator this thread runs: the name that a kernel's refusal of a number gives (docs/architecture.md, "A kernel
// refuses by itself"). Costs a thread-local word, unlike OperatorTrace, which follows all operators.
#pragma once

namespace mtia::torch_backend {

// Of nested scopes the outermost counts: it is what the user called. `name` lives as long as the process.
class OperatorScope {
 public:
  explicit OperatorScope(const char* name) : is_outermost_(current_ == nullptr) {
    if (is_outermost_) current_ = name;
  }
  ~OperatorScope() {
    if (is_outermost_) current_ = nullptr;
  }
  OperatorScope(const OperatorScope&) = delete;
  OperatorScope& operator=(const OperatorScope&) = delete;

  // nullptr outside of all scopes.
  static const char* current() { return current_; }

 private:
  inline static thread_local const char* current_ = nullptr;
  bool is_outermost_;
};

}  // namespace mtia::torch_backend
