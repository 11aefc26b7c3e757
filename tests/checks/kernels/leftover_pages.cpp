// The consumer leaves a page behind.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
  int64_t taken;
};
MTIA_ARGUMENTS(Arguments, x, taken);

struct Buffers {
  CircularBuffer<Tile<float, 1, 64>, 2> pages{"pages"};
};

void produce(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t i = 0; i < 3; ++i) pe.load(pe.reserve(buffers.pages), arguments.x.at(64 * i));  // found
}

void consume(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t i = 0; i < arguments.taken; ++i) pe.store(arguments.x.at(64 * i), pe.front(buffers.pages));
}

MTIA_KERNEL(pass_on, produce, consume);
