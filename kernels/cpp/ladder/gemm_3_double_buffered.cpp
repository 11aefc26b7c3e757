// Step 3: three roles at the same time. Circular buffers of two pages: the next blocks load, and the last one is
// stored, while this one is multiplied.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<const bfloat16, 2> a, b;
  Tensor<bfloat16, 2> c;
};
MTIA_ARGUMENTS(Arguments, a, b, c);

constexpr int64_t M = 128, N = 128, K = 128;

struct Buffers {
  CircularBuffer<Tile<bfloat16, M, K>, 2> a{"a"};
  CircularBuffer<Tile<bfloat16, K, N>, 2> b{"b"};
  CircularBuffer<Tile<bfloat16, M, N>, 2> c{"c"};
};

template <typename Body>
void for_each_block(ProcessingElement& pe, const Arguments& arguments, const Body& body) {
  const int64_t down = (arguments.c.size(0) + M - 1) / M;
  const int64_t across = (arguments.c.size(1) + N - 1) / N;
  for (int64_t block : pe.share_of(down * across)) body(block % down * M, block / down * N);
}

void load(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for_each_block(pe, arguments, [&](int64_t row, int64_t column) {
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      pe.load(pe.reserve(buffers.a), arguments.a.at(row, k));
      pe.load(pe.reserve(buffers.b), arguments.b.at(k, column));
    }
  });
}

void compute(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  auto sum = pe.allocate<Accumulator<float, M, N>>();
  for_each_block(pe, arguments, [&](int64_t, int64_t) {
    pe.clear(sum);
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      auto a = pe.front(buffers.a);
      auto b = pe.front(buffers.b);
      pe.dot(sum, a, b);
    }
    pe.convert(pe.reserve(buffers.c), sum);
  });
}

void store(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for_each_block(pe, arguments,
                 [&](int64_t row, int64_t column) { pe.store(arguments.c.at(row, column), pe.front(buffers.c)); });
}
MTIA_KERNEL(gemm, load, compute, store);
