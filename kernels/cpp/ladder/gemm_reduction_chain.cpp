// Beside the ladder, for a small c and a long k: a row of PEs shares each block of c, every PE multiplies its part of
// k, and the reduction engines' link adds the parts up along the row.
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
};

// Blocks of c are dealt to the rows of PEs; all PEs of a row take the same ones.
template <typename Body>
void for_each_block(ProcessingElement& pe, const Arguments& arguments, const Body& body) {
  const int64_t down = (arguments.c.size(0) + M - 1) / M;
  const int64_t across = (arguments.c.size(1) + N - 1) / N;
  for (int64_t block = pe.row(); block < down * across; block += pe.rows()) body(block % down * M, block / down * N);
}

template <typename Body>
void for_each_step(ProcessingElement& pe, const Arguments& arguments, const Body& body) {
  for (int64_t k = pe.column() * K; k < arguments.a.size(1); k += pe.columns() * K) body(k);
}

void load(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for_each_block(pe, arguments, [&](int64_t row, int64_t column) {
    for_each_step(pe, arguments, [&](int64_t k) {
      pe.load(pe.reserve(buffers.a), arguments.a.at(row, k));
      pe.load(pe.reserve(buffers.b), arguments.b.at(k, column));
    });
  });
}

void compute(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  auto sum = pe.allocate<Accumulator<float, M, N>>();
  auto c = pe.allocate<Tile<bfloat16, M, N>>();
  for_each_block(pe, arguments, [&](int64_t row, int64_t column) {
    pe.clear(sum);
    for_each_step(pe, arguments, [&](int64_t) {
      auto a = pe.front(buffers.a);
      auto b = pe.front(buffers.b);
      pe.dot(sum, a, b);
    });
    if (pe.reduce_along(Along::row, sum)) {
      pe.convert(c, sum);
      pe.store(arguments.c.at(row, column), c);
    }
  });
}
MTIA_KERNEL(gemm, load, compute);
