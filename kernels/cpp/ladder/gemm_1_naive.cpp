// Step 1: c = a b in blocks of 32 x 32, one after the other: load, multiply, store, each waiting for the one before.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<const bfloat16, 2> a, b;
  Tensor<bfloat16, 2> c;
};
MTIA_ARGUMENTS(Arguments, a, b, c);

constexpr int64_t M = 32, N = 32, K = 32;

void multiply(ProcessingElement& pe, const Arguments& arguments) {
  auto a = pe.allocate<Tile<bfloat16, M, K>>();
  auto b = pe.allocate<Tile<bfloat16, K, N>>();
  auto c = pe.allocate<Tile<bfloat16, M, N>>();
  auto sum = pe.allocate<Accumulator<float, M, N>>();
  const int64_t down = (arguments.c.size(0) + M - 1) / M;
  const int64_t across = (arguments.c.size(1) + N - 1) / N;
  for (int64_t block : pe.share_of(down * across)) {
    const int64_t row = block % down * M;
    const int64_t column = block / down * N;
    pe.clear(sum);
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      pe.load(a, arguments.a.at(row, k));
      pe.load(b, arguments.b.at(k, column));
      pe.dot(sum, a, b);
    }
    pe.convert(c, sum);
    pe.store(arguments.c.at(row, column), c);
  }
}
MTIA_KERNEL(gemm, multiply);
