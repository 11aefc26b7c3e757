// A tile of a circular buffer is kept longer than the window that lent it.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
  int64_t keeps;
};
MTIA_ARGUMENTS(Arguments, x, keeps);

void kernel(ProcessingElement& pe, const Arguments& arguments) {
  CircularBuffer<Tile<float, 1, 64>, 2> pages(pe, "pages");
  if (arguments.keeps != 0) {
    Tile<float, 1, 64> kept = pe.reserve(pages).tile();
    pe.load(kept, arguments.x.at(0));  // found
  } else {
    auto window = pe.reserve(pages);
    pe.load(window, arguments.x.at(0));
  }
  auto front = pe.front(pages);
}

MTIA_KERNEL(keep_tile, kernel);
