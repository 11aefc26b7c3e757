// Which ATen operator runs now, and which line of Python called it: for tools that name the author of a launch.
#pragma once

#include <string>

namespace mtia::torch_backend {

struct OperatorPlace {
  std::string name;    // "aten::exp", of a backward pass "ExpBackward0: aten::mul"; empty outside of operators
  std::string caller;  // "train.py:42"; of a backward pass, of the forward operator; empty where unknown
};

// While an object of this class lives, operators of all threads are followed (at::RecordFunction). Costs microseconds
// an operator.
class OperatorTrace {
 public:
  // `python_line` gives the line of Python that the calling thread is at.
  explicit OperatorTrace(std::string (*python_line)());
  ~OperatorTrace();
  OperatorTrace(const OperatorTrace&) = delete;
  OperatorTrace& operator=(const OperatorTrace&) = delete;

  // Of the thread that entered or left an operator last: the launching one, while launches are waited for.
  static OperatorPlace current();
};

}  // namespace mtia::torch_backend
