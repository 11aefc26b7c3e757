// Step 6: a and b are packed first, page by page in the order in which they are read, so that a page is one run of
// memory instead of 128 or 256 rows: the fabric interface pays for each row. Weights are packed once.
#include <mtia/kernel.h>

using namespace mtia;

constexpr int64_t M = 128, N = 128, K = 256, half = M / 2;

constexpr int64_t up(int64_t value, int64_t unit) { return (value + unit - 1) / unit; }

// packed [down * across * Rows, Columns] holds the blocks of source one below the other, row of blocks by row of
// blocks, zeros past the edges.
struct PackArguments {
  Tensor<const bfloat16, 2> source;
  Tensor<bfloat16, 2> packed;
};
MTIA_ARGUMENTS(PackArguments, source, packed);

template <int64_t Rows, int64_t Columns>
void pack(ProcessingElement& pe, const PackArguments& arguments) {
  auto page = pe.allocate<Tile<bfloat16, Rows, Columns>>();
  const int64_t across = up(arguments.source.size(1), Columns);
  for (int64_t block : pe.share_of(up(arguments.source.size(0), Rows) * across)) {
    pe.load(page, arguments.source.at(block / across * Rows, block % across * Columns));
    pe.store(arguments.packed.at(block * Rows, 0), page);
  }
}
void pack_left(ProcessingElement& pe, const PackArguments& arguments) { pack<M, K>(pe, arguments); }
void pack_right(ProcessingElement& pe, const PackArguments& arguments) { pack<K, N>(pe, arguments); }
MTIA_KERNEL(pack_a, pack_left);
MTIA_KERNEL(pack_b, pack_right);

struct Arguments {
  Tensor<const bfloat16, 2> a, b;  // packed: a in pages of M x K, b in pages of K x N
  Tensor<bfloat16, 2> c;
  int64_t k;
};
MTIA_ARGUMENTS(Arguments, a, b, c, k);

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
  const int64_t deep = up(arguments.k, K);
  const int64_t across = up(arguments.c.size(1), N);
  for_each_block(pe, arguments, [&](int64_t row, int64_t column) {
    for (int64_t step = 0; step < deep; ++step) {
      pe.multicast(Along::row, pe.reserve(buffers.a), arguments.a.at((row / M * deep + step) * M, 0));
      // A column of blocks past the edge must not be taken from the next row of blocks.
      const int64_t page = column < arguments.c.size(1) ? step * across + column / N : deep * across;
      pe.multicast(Along::column, pe.reserve(buffers.b), arguments.b.at(page * K, 0));
    }
  });
}

void compute(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  auto upper = pe.allocate<Accumulator<float, half, N>>();
  auto lower = pe.allocate<Accumulator<float, half, N>>();
  for_each_block(pe, arguments, [&](int64_t, int64_t) {
    pe.clear(upper);
    pe.clear(lower);
    for (int64_t k = 0; k < arguments.k; k += K) {
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
