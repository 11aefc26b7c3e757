// Every PE stores its own rows, or all of them the same row.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<const float, 2> x;
  Tensor<float, 2> out;
  int64_t shared;
};
MTIA_ARGUMENTS(Arguments, x, out, shared);

void copy_rows(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 64>>();
  for (int64_t row : pe.share_of(arguments.x.size(0))) {
    pe.load(tile, arguments.x.at(row, 0));                                 // load
    pe.store(arguments.out.at(arguments.shared != 0 ? 0 : row, 0), tile);  // store
  }
}
MTIA_KERNEL(copies, copy_rows);
