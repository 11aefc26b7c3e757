// Kernels in which several PEs take part: multicast, reduction chains, barriers, work queues.
#include <mtia/kernel.h>

using namespace mtia;

struct Matrices {
  Tensor<const float, 2> a, b;
  Tensor<float, 2> c;
};
MTIA_ARGUMENTS(Matrices, a, b, c);

constexpr int64_t M = 32, N = 32, K = 64;

struct Buffers {
  CircularBuffer<Tile<float, M, K>, 3> a{"a"};
  CircularBuffer<Tile<float, K, N>, 3> b{"b"};
};

// PE (i, j) computes block (i, j) of c, block-cyclic; a's blocks are read once a row of PEs, b's once a column.
int64_t rounds(const ProcessingElement& pe, const Matrices& x) {
  const int64_t down = (x.c.size(0) + M * pe.rows() - 1) / (M * pe.rows());
  const int64_t across = (x.c.size(1) + N * pe.columns() - 1) / (N * pe.columns());
  return down * across;
}
int64_t row_of(const ProcessingElement& pe, const Matrices& x, int64_t round) {
  const int64_t down = (x.c.size(0) + M * pe.rows() - 1) / (M * pe.rows());
  return (round % down * pe.rows() + pe.row()) * M;
}
int64_t column_of(const ProcessingElement& pe, const Matrices& x, int64_t round) {
  const int64_t down = (x.c.size(0) + M * pe.rows() - 1) / (M * pe.rows());
  return (round / down * pe.columns() + pe.column()) * N;
}
void load(ProcessingElement& pe, const Matrices& x, Buffers& buffers) {
  for (int64_t round = 0; round < rounds(pe, x); ++round) {
    for (int64_t k = 0; k < x.a.size(1); k += K) {
      pe.multicast(Along::row, pe.reserve(buffers.a), x.a.at(row_of(pe, x, round), k));
      pe.multicast(Along::column, pe.reserve(buffers.b), x.b.at(k, column_of(pe, x, round)));
    }
  }
}
void compute(ProcessingElement& pe, const Matrices& x, Buffers& buffers) {
  auto sum = pe.allocate<Accumulator<float, M, N>>();
  for (int64_t round = 0; round < rounds(pe, x); ++round) {
    pe.clear(sum);
    for (int64_t k = 0; k < x.a.size(1); k += K) {
      auto a = pe.front(buffers.a);
      auto b = pe.front(buffers.b);
      pe.dot(sum, a, b);
    }
    pe.store(x.c.at(row_of(pe, x, round), column_of(pe, x, round)), sum);
  }
}
MTIA_KERNEL(multicast_gemm, load, compute);

// The PEs of a row share k: each multiplies its part, the chain adds the parts, the last PE of the row stores.
void split_k(ProcessingElement& pe, const Matrices& x) {
  auto a = pe.allocate<Tile<float, M, K>>();
  auto b = pe.allocate<Tile<float, K, N>>();
  auto sum = pe.allocate<Accumulator<float, M, N>>();
  const int64_t down = (x.c.size(0) + M - 1) / M, across = (x.c.size(1) + N - 1) / N;
  for (int64_t tile = pe.row(); tile < down * across; tile += pe.rows()) {
    const int64_t row = tile % down * M, column = tile / down * N;
    pe.clear(sum);
    for (int64_t k = pe.column() * K; k < x.a.size(1); k += pe.columns() * K) {
      pe.load(a, x.a.at(row, k));
      pe.load(b, x.b.at(k, column));
      pe.dot(sum, a, b);
    }
    if (pe.reduce_along(Along::row, sum)) pe.store(x.c.at(row, column), sum);
  }
}
MTIA_KERNEL(split_k_gemm, split_k);

struct Vectors {
  Tensor<float, 1> x, y;
  int64_t steps;
};
MTIA_ARGUMENTS(Vectors, x, y, steps);

constexpr int64_t block = 64;

// Each PE sends its block to the PE behind it, `steps` times: without a barrier between, it would read half-moved data.
void rotate(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  for (int64_t step = 0; step < arguments.steps; ++step) {
    pe.load(tile, arguments.x.at(pe.index() * block));
    pe.barrier();
    pe.store(arguments.x.at((pe.index() + 1) % pe.count() * block), tile);
    pe.barrier();
  }
}
MTIA_KERNEL(rotate_blocks, rotate);

void column_extremes(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  pe.load(tile, arguments.x.at(pe.index() * block));
  if (pe.reduce_along(Along::column, tile, Reduce::max)) pe.store(arguments.y.at(pe.column() * block), tile);
}
MTIA_KERNEL(column_max, column_extremes);

// The last PE of a row has `steps` additions to do before it can take part, the first as many with what it gets.
void late(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  auto busy = pe.allocate<Tile<float, 1, block>>();
  pe.fill(busy, 0);
  if (pe.column() + 1 == pe.columns()) {
    for (int64_t step = 0; step < arguments.steps; ++step) pe.add(busy, busy, 1);
    pe.read(busy, 0, 0);
  }
  pe.multicast(Along::row, tile, arguments.x.at(0));
  if (pe.column() != 0) return;
  pe.read(tile, 0, 0);
  for (int64_t step = 0; step < arguments.steps; ++step) pe.add(tile, tile, 1);
  pe.store(arguments.y.at(0), tile);
}
MTIA_KERNEL(late_to_multicast, late);

struct Items {
  Tensor<const float, 2> x;
  Tensor<float, 2> out;
  Tensor<int32_t, 1> owner;
  WorkQueue rows;
};
MTIA_ARGUMENTS(Items, x, out, owner, rows);

// Rows of different cost: row i is squared i times over (by multiplying with one).
void draw(ProcessingElement& pe, const Items& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 256>>();
  auto owner = pe.allocate<Tile<int32_t, 1, 1>>();
  while (auto item = pe.next(arguments.rows)) {
    pe.load(tile, arguments.x.at(*item, 0));
    for (int64_t i = 0; i < *item % 7 * 10; ++i) pe.mul(tile, tile, 1.0f);
    pe.add(tile, tile, 1.0f);
    pe.store(arguments.out.at(*item, 0), tile);
    pe.fill(owner, pe.index());
    pe.store(arguments.owner.at(*item), owner);
  }
}
MTIA_KERNEL(draws, draw);

// ---- wrong ones

void early_end(ProcessingElement& pe, const Vectors&) {
  if (pe.index() != 2) pe.barrier();  // not all come
}
MTIA_KERNEL(missing_at_barrier, early_end);

void different(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  pe.multicast(Along::row, tile, arguments.x.at(pe.column() * block));  // different regions
}
MTIA_KERNEL(different_regions, different);

void one_multicast_less(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  if (pe.column() != 1) pe.multicast(Along::row, tile, arguments.x.at(0));  // one does not come
}
MTIA_KERNEL(missing_at_multicast, one_multicast_less);

void broken_chain(ProcessingElement& pe, const Vectors&) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  pe.fill(tile, 1);
  if (pe.column() != 0) pe.reduce_along(Along::row, tile);  // the first does not send
}
MTIA_KERNEL(missing_in_chain, broken_chain);
