// c = alpha a b for bfloat16 matrices of any size and layout: load, compute and store roles.
#include <mtia/kernel.h>
using namespace mtia;
struct Arguments {
  Tensor<const bfloat16, 2> a, b;
  Tensor<bfloat16, 2> c;
  float alpha;
};
MTIA_ARGUMENTS(Arguments, a, b, c, alpha);
constexpr int64_t M = 128, N = 128, K = 64;
struct Buffers {
  CircularBuffer<Tile<bfloat16, M, K>, 2> a{"a"};
  CircularBuffer<Tile<bfloat16, K, N>, 2> b{"b"};
  CircularBuffer<Tile<bfloat16, M, N>, 2> c{"c"};
};
struct Place {
  int64_t row, column;
};
int64_t tiles(const Arguments& x) { return (x.c.size(0) + M - 1) / M * ((x.c.size(1) + N - 1) / N); }
Place place(const Arguments& x, int64_t tile) {
  int64_t down = (x.c.size(0) + M - 1) / M;
  return {tile % down * M, tile / down * N};
}
void load(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t tile : pe.share_of(tiles(arguments))) {
    const Place p = place(arguments, tile);
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      pe.load(pe.reserve(buffers.a), arguments.a.at(p.row, k));
      pe.load(pe.reserve(buffers.b), arguments.b.at(k, p.column));
    }
  }
}
void compute(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  auto sum = pe.allocate<Accumulator<float, M, N>>();
  for (int64_t tile : pe.share_of(tiles(arguments))) {
    (void)tile;
    pe.clear(sum);
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      auto a = pe.front(buffers.a);
      auto b = pe.front(buffers.b);
      pe.dot(sum, a, b);
    }
    if (arguments.alpha != 1) pe.mul(pe.result_of(sum), sum, arguments.alpha);
    pe.convert(pe.reserve(buffers.c), sum);
  }
}
void store(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t tile : pe.share_of(tiles(arguments))) {
    const Place p = place(arguments, tile);
    pe.store(arguments.c.at(p.row, p.column), pe.front(buffers.c));
  }
}
MTIA_KERNEL(gemm, load, compute, store);
