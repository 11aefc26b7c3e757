// Two roles share a tile without a circular buffer: the second may read what the first has not written yet.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
};
MTIA_ARGUMENTS(Arguments, x);

struct Shared {
  explicit Shared(ProcessingElement& pe) : tile(pe.allocate<Tile<float, 1, 64>>()), pages(pe, "pages") {
    pe.fill(tile, 0);
  }
  Tile<float, 1, 64> tile;
  CircularBuffer<Tile<float, 1, 64>, 2> pages;
};

void load(ProcessingElement& pe, const Arguments& arguments, Shared& shared) {
  pe.load(shared.tile, arguments.x.at(0));
}
void store(ProcessingElement& pe, const Arguments& arguments, Shared& shared) {
  pe.store(arguments.x.at(64), shared.tile);  // found
}
MTIA_KERNEL(trigger, load, store);

void load_page(ProcessingElement& pe, const Arguments& arguments, Shared& shared) {
  pe.load(pe.reserve(shared.pages), arguments.x.at(0));
}
void store_page(ProcessingElement& pe, const Arguments& arguments, Shared& shared) {
  pe.store(arguments.x.at(64), pe.front(shared.pages));
}
MTIA_KERNEL(mended, load_page, store_page);
