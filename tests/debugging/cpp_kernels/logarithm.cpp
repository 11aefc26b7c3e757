// out = log(x), in three roles.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<const float, 1> x;
  Tensor<float, 1> out;
};
MTIA_ARGUMENTS(Arguments, x, out);

constexpr int64_t block = 256;

struct Buffers {
  CircularBuffer<Tile<float, 1, block>, 2> in{"in"}, result{"result"};
};

auto blocks_of(ProcessingElement& pe, const Arguments& arguments) {
  return pe.share_of((arguments.x.size() + block - 1) / block);
}

void load(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t part : blocks_of(pe, arguments)) pe.load(pe.reserve(buffers.in), arguments.x.at(part * block));
}

void compute(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for ([[maybe_unused]] int64_t part : blocks_of(pe, arguments)) {
    auto in = pe.front(buffers.in);
    pe.log(pe.reserve(buffers.result), in);
  }
}

void store(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t part : blocks_of(pe, arguments)) pe.store(arguments.out.at(part * block), pe.front(buffers.result));
}

MTIA_KERNEL(logarithm, load, compute, store);
