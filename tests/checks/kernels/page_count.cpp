// A window of more pages than the circular buffer has.
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
  int64_t pages;
};
MTIA_ARGUMENTS(Arguments, x, pages);

void kernel(ProcessingElement& pe, const Arguments& arguments) {
  CircularBuffer<Tile<float>, dynamic_pages> pages(pe, "pages", 1, 64, static_cast<uint32_t>(arguments.pages));
  {
    auto window = pe.reserve<3>(pages);  // found
  }
  auto front = pe.front<3>(pages);
}

MTIA_KERNEL(three_pages, kernel);
