// Faults of the host's kind in C++ kernels, which run on fibers: each sanitizer has to report its own.
#include <mtia/kernel.h>

#include <cstdint>
#include <memory>

using namespace mtia;

struct Arguments {
  int64_t number;
};
MTIA_ARGUMENTS(Arguments, number);

volatile int64_t result = 0;

void heap(ProcessingElement&, const Arguments& arguments) {
  const auto values = std::make_unique<int64_t[]>(8);
  result = values[static_cast<size_t>(arguments.number)];  // heap
}
MTIA_KERNEL(heap_overflow, heap);

void stack(ProcessingElement&, const Arguments& arguments) {
  volatile int64_t values[8] = {};
  result = values[arguments.number];  // stack
}
MTIA_KERNEL(stack_overflow, stack);

void sum(ProcessingElement&, const Arguments& arguments) {
  result = arguments.number + INT64_MAX;  // sum
}
MTIA_KERNEL(signed_overflow, sum);

void count(ProcessingElement&, const Arguments& arguments) {
  static int64_t counted = 0;
  for (int64_t i = 0; i < arguments.number; ++i) {
    counted = counted + 1;  // count
    result = counted;
  }
}
MTIA_KERNEL(race_of_pes, count);
