// A number that a kernel's caller gave it and that the kernel refuses: the caller's fault, not the kernel's.
#pragma once

#include "base/error.h"

namespace mtia::emulator {

class LoadedProgram;

// What check_range throws, with the category OutOfBounds or InvalidArgument; a subclass, so that whoever knows the
// caller can put it in the place of the kernel.
class Refusal : public Error {
 public:
  using Error::Error;
};

// Whether a program has check_range or assert_: its caller is worth knowing, a fault may be his.
bool checks_operands(const LoadedProgram& program);

}  // namespace mtia::emulator
