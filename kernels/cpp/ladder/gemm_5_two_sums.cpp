// Step 5: a block is summed in two halves, so that the result of one half is converted while the other is multiplied,
// and the engine goes on with the next block; pages as deep as local memory takes, 256 values of k, ask less often for
// more.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<const bfloat16, 2> a, b;
  Tensor<bfloat16, 2> c;
};
MTIA_ARGUMENTS(Arguments, a, b, c);

constexpr int64_t M = 128, N = 128, K = 256, half = M / 2;

struct Buffers {
  CircularBuffer<Tile<bfloat16, M, K>, 2> a{"a"};
  CircularBuffer<Tile<bfloat16, K, N>, 2> b{"b"};
  CircularBuffer<Tile<bfloat16, half, N>, 2> c{"c"};
};

template <typename Body>
void for_each_block(ProcessingElement& pe, const Arguments& arguments, const Body& body) {
  for (int64_t row = 0; row < arguments.c.size(0); row += pe.rows() * M) {
    for (int64_t column = 0; column < arguments.c.size(1); column += pe.columns() * N)
      body(row + pe.row() * M, column + pe.column() * N);
  }
}

void load(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for_each_block(pe, arguments, [&](int64_t row, int64_t column) {
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      pe.multicast(Along::row, pe.reserve(buffers.a), arguments.a.at(row, k));
      pe.multicast(Along::column, pe.reserve(buffers.b), arguments.b.at(k, column));
    }
  });
}

void compute(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  auto upper = pe.allocate<Accumulator<float, half, N>>();
  auto lower = pe.allocate<Accumulator<float, half, N>>();
  for_each_block(pe, arguments, [&](int64_t, int64_t) {
    pe.clear(upper);
    pe.clear(lower);
    for (int64_t k = 0; k < arguments.a.size(1); k += K) {
      auto a = pe.front(buffers.a);
      auto b = pe.front(buffers.b);
      pe.dot(upper, a.tile().slice<half, K>(0, 0), b);
      pe.dot(lower, a.tile().slice<half, K>(half, 0), b);
    }
    pe.convert(pe.reserve(buffers.c), upper);
    pe.convert(pe.reserve(buffers.c), lower);
  });
}

void store(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for_each_block(pe, arguments, [&](int64_t row, int64_t column) {
    pe.store(arguments.c.at(row, column), pe.front(buffers.c));
    pe.store(arguments.c.at(row + half, column), pe.front(buffers.c));
  });
}
MTIA_KERNEL(gemm, load, compute, store);
