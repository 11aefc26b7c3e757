// Which parameters of a program point to memory that it may write.
#pragma once

#include <vector>

#include "emulator/emulator.h"

namespace mtia::emulator {

// By parameter. A parameter that cannot be told from one that is written counts as written. Addresses that a program
// loads from memory are no parameters. Walks the program: for rare questions.
std::vector<bool> written_parameters(const LoadedProgram& program);

}  // namespace mtia::emulator
