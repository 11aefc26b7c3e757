// Roles and their tiles: right kernels that look like wrong ones, and wrong ones.
#include <mtia/kernel.h>

using namespace mtia;

struct Vector {
  Tensor<float, 1> x;
};
MTIA_ARGUMENTS(Vector, x);

constexpr int64_t block = 64;

// A tile outside of the circular buffer, whose pages tell each role when it may use it.
struct Shared {
  explicit Shared(ProcessingElement& pe) : tile(pe.allocate<Tile<float, 1, block>>()), token(pe, "token") {}
  Tile<float, 1, block> tile;
  CircularBuffer<Tile<float, 1, 1>, 1> token;
};

template <bool early>
void fill_shared(ProcessingElement& pe, const Vector& arguments, Shared& shared) {
  for (int64_t i = 0; i < 3; ++i) {
    if (early) pe.load(shared.tile, arguments.x.at(block * i));  // before the other has read the last one
    auto token = pe.reserve(shared.token);
    if (!early) pe.load(shared.tile, arguments.x.at(block * i));
    pe.fill(token, 1);
  }
}
void store_shared(ProcessingElement& pe, const Vector& arguments, Shared& shared) {
  for (int64_t i = 0; i < 3; ++i) {
    auto token = pe.front(shared.token);
    pe.store(arguments.x.at(block * (3 + i)), shared.tile);  // early
  }
}
MTIA_KERNEL(tile_with_token, fill_shared<false>, store_shared);
MTIA_KERNEL(tile_without_wait, fill_shared<true>, store_shared);

// The rest of a tile that is not stored, and the elements beside one that is read, need not be written.
void partial_tiles(ProcessingElement& pe, const Vector& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  pe.fill(tile.slice<1, 16>(0, 0), 2);
  pe.store(arguments.x.at(arguments.x.size(0) - 16), tile);
  if (pe.read(tile, 0, 15) == 2) pe.store(arguments.x.at(0).clip(1, 16), tile);
}
MTIA_KERNEL(parts, partial_tiles);

void unwritten_element(ProcessingElement& pe, const Vector& arguments) {
  auto tile = pe.allocate<Tile<float, 2, block>>();
  pe.fill(tile.slice<1, 16>(1, 0), 2);
  if (pe.read(tile, 1, 16) == 2) pe.store(arguments.x.at(0), tile.slice<1, 16>(1, 0));  // read
}
MTIA_KERNEL(element, unwritten_element);

// A page that is pushed with half of it unwritten.
struct Pages {
  CircularBuffer<Tile<float, 1, block>, 2> pages{"pages"};
};
void half_pages(ProcessingElement& pe, const Vector& arguments, Pages& buffers) {
  for (int64_t i = 0; i < 3; ++i) {
    auto page = pe.reserve(buffers.pages);
    pe.load(page.tile(), arguments.x.at(0));
    if (i == 2) break;
  }
  auto page = pe.reserve(buffers.pages);
  pe.fill(page.tile().slice<1, 32>(0, 0), 1);
}
void store_pages(ProcessingElement& pe, const Vector& arguments, Pages& buffers) {
  for (int64_t i = 0; i < 4; ++i) pe.store(arguments.x.at(block * (i + 1)), pe.front(buffers.pages));  // half
}
MTIA_KERNEL(half_a_page, half_pages, store_pages);

struct Table {
  Tensor<float, 2> x;
  Tensor<const int32_t, 1> rows;
};
MTIA_ARGUMENTS(Table, x, rows);

// Rows 0 to 7 are stored; 8 to 15, or those of `rows`, are loaded while that goes on.
void rows_by_index(ProcessingElement& pe, const Table& arguments) {
  auto stored = pe.allocate<Tile<float, 8, block>>();
  auto loaded = pe.allocate<Tile<float, 8, block>>();
  auto indices = pe.allocate<Tile<int32_t, 1, 8>>();
  pe.load(indices, arguments.rows.at(0));
  pe.fill(stored, 1);
  pe.store(arguments.x.at(0, 0), stored);
  pe.gather(loaded, arguments.x.at(0, 0), indices);  // gather
  pe.store(arguments.x.at(16, 0), loaded);
}
MTIA_KERNEL(gathers, rows_by_index);

void scattered(ProcessingElement& pe, const Table& arguments) {
  auto stored = pe.allocate<Tile<float, 8, block>>();
  auto loaded = pe.allocate<Tile<float, 1, block>>();
  auto indices = pe.allocate<Tile<int32_t, 1, 8>>();
  pe.load(indices, arguments.rows.at(0));
  pe.fill(stored, 1);
  pe.scatter(arguments.x.at(0, 0), indices, stored);
  pe.load(loaded, arguments.x.at(9, 0));  // load
  pe.store(arguments.x.at(16, 0), loaded);
}
MTIA_KERNEL(scatters, scattered);

struct Queue {
  Tensor<float, 1> x;
  WorkQueue items;
};
MTIA_ARGUMENTS(Queue, x, items);

// Each item reads what the one before it stored: draws wait for no stores.
void relay(ProcessingElement& pe, const Queue& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  while (auto item = pe.next(arguments.items)) {
    pe.load(tile, arguments.x.at(*item * block));
    pe.store(arguments.x.at((*item + 1) * block), tile);
  }
}
MTIA_KERNEL(relays, relay);

// Two roles at work on halves of one tile.
struct Halves {
  explicit Halves(ProcessingElement& pe) : tile(pe.allocate<Tile<float, 4, block>>()) {}
  Tile<float, 4, block> tile;
};
template <int64_t row>
void upper_half(ProcessingElement& pe, const Vector& arguments, Halves& halves) {
  pe.load(halves.tile.slice<2, block>(row, 0).slice<1, block>(0, 0), arguments.x.at(0));
  pe.load(halves.tile.slice<2, block>(row, 0).slice<1, block>(1, 0), arguments.x.at(block));  // upper
}
void lower_half(ProcessingElement& pe, const Vector& arguments, Halves& halves) {
  pe.load(halves.tile.slice<1, block>(2, 0), arguments.x.at(0));
  pe.add(halves.tile.slice<1, block>(2, 0), halves.tile.slice<1, block>(2, 0), 1);
  pe.store(arguments.x.at(block * 2), halves.tile.slice<1, block>(2, 0));
}
MTIA_KERNEL(halves, upper_half<0>, lower_half);
MTIA_KERNEL(overlapping_halves, upper_half<1>, lower_half);
