// scaled_add.cpp: out = x + scale * y
#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<const float, 1> x, y;  // const: the kernel only reads it
  Tensor<float, 1> out;
  float scale;
};
MTIA_ARGUMENTS(Arguments, x, y, out, scale);

constexpr int64_t block = 4096;

void add(ProcessingElement& pe, const Arguments& arguments) {
  auto x = pe.allocate<Tile<float, 1, block>>();
  auto y = pe.allocate<Tile<float, 1, block>>();
  for (int64_t part : pe.share_of((arguments.x.size() + block - 1) / block)) {
    pe.load(x, arguments.x.at(part * block));
    pe.load(y, arguments.y.at(part * block));
    pe.fma(x, y, arguments.scale, x);
    pe.store(arguments.out.at(part * block), x);
  }
}
MTIA_KERNEL(scaled_add, add);
