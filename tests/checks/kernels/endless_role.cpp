// A role polls for a number that nobody writes.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
};
MTIA_ARGUMENTS(Arguments, x);

void trigger_role(ProcessingElement& pe, const Arguments& arguments) {
  auto flag = pe.allocate<Tile<float, 1, 1>>();
  while (pe.load(flag, arguments.x.at(0)), pe.read(flag, 0, 0) != 1) continue;  // found
}
void mended_role(ProcessingElement& pe, const Arguments& arguments) {
  auto flag = pe.allocate<Tile<float, 1, 1>>();
  while (pe.load(flag, arguments.x.at(0)), pe.read(flag, 0, 0) != 0) continue;
}
MTIA_KERNEL(trigger, trigger_role);
MTIA_KERNEL(mended, mended_role);
