// A load of bytes that the store before it has not written yet: on the chip, loads do not wait for stores.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
};
MTIA_ARGUMENTS(Arguments, x);

template <bool waits>
void role(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 64>>();
  auto again = pe.allocate<Tile<float, 1, 64>>();
  pe.load(tile, arguments.x.at(0));
  pe.add(tile, tile, 1);
  pe.store(arguments.x.at(0), tile);
  if (waits) pe.barrier();
  pe.load(again, arguments.x.at(32));  // found
  pe.store(arguments.x.at(128), again);
}
MTIA_KERNEL(trigger, role<false>);
MTIA_KERNEL(mended, role<true>);
