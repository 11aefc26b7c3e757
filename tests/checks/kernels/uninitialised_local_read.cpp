// A tile is stored whole of which only the first half was loaded.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
};
MTIA_ARGUMENTS(Arguments, x);

template <int64_t elements>
void role(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 64>>();
  pe.load(tile.slice<1, elements>(0, 0), arguments.x.at(0));
  pe.store(arguments.x.at(64), tile);  // found
}
MTIA_KERNEL(trigger, role<32>);
MTIA_KERNEL(mended, role<64>);
