// One small kernel for each unit of a PE, for comparison with torch.
#include <mtia/kernel.h>

using namespace mtia;

struct Unary {
  Tensor<const float, 2> x;
  Tensor<float, 2> out;
  int64_t operation;
};
MTIA_ARGUMENTS(Unary, x, out, operation);

void simd(ProcessingElement& pe, const Unary& arguments) {
  auto tile = pe.allocate<Tile<float, 16, 32>>();
  pe.load(tile, arguments.x.at(0, 0).fill(1.0));
  switch (arguments.operation) {
    case 0:
      pe.exp(tile, tile);
      break;
    case 1:
      pe.log(tile, tile);
      break;
    case 2:
      pe.sigmoid(tile, tile);
      break;
    case 3:
      pe.tanh(tile, tile);
      break;
    case 4:
      pe.gelu(tile, tile);
      break;
    default:
      pe.sqrt(tile, tile);
  }
  pe.store(arguments.out.at(0, 0), tile);
}
MTIA_KERNEL(tables, simd);

struct Softmax {
  Tensor<const float, 2> x;
  Tensor<float, 2> out;
};
MTIA_ARGUMENTS(Softmax, x, out);

void softmax_rows(ProcessingElement& pe, const Softmax& arguments) {
  constexpr int64_t rows = 8, columns = 128;
  auto x = pe.allocate<Tile<float, rows, columns>>();
  auto extreme = pe.allocate<Tile<float, rows, 1>>();
  for (int64_t part : pe.share_of((arguments.x.size(0) + rows - 1) / rows)) {
    pe.load(x, arguments.x.at(part * rows, 0).fill(-__builtin_inf()));
    pe.reduce(Reduce::max, extreme, x);
    pe.sub(x, x, extreme);
    pe.exp(x, x);
    pe.reduce(Reduce::sum, extreme, x);
    pe.div(x, x, extreme);
    pe.store(arguments.out.at(part * rows, 0), x);
  }
}
MTIA_KERNEL(softmax, softmax_rows);

struct Rows {
  Tensor<const float, 2> table;
  Tensor<const int64_t, 1> indices;
  Tensor<float, 2> out;
};
MTIA_ARGUMENTS(Rows, table, indices, out);

void gather_rows(ProcessingElement& pe, const Rows& arguments) {
  auto indices = pe.allocate<Tile<int64_t, 1, 8>>();
  auto rows = pe.allocate<Tile<float, 8, 48>>();
  for (int64_t part : pe.share_of(arguments.indices.size() / 8)) {
    pe.load(indices, arguments.indices.at(part * 8));
    pe.gather(rows, arguments.table.at(0, 0), indices);
    pe.store(arguments.out.at(part * 8, 0), rows);
  }
}
MTIA_KERNEL(gather, gather_rows);

void add_rows(ProcessingElement& pe, const Rows& arguments) {
  auto indices = pe.allocate<Tile<int64_t, 1, 8>>();
  auto rows = pe.allocate<Tile<float, 8, 48>>();
  for (int64_t part = 0; part < arguments.indices.size() / 8; ++part) {
    pe.load(indices, arguments.indices.at(part * 8));
    pe.load(rows, arguments.table.at(part * 8, 0));
    pe.scatter_add(arguments.out.at(0, 0), indices, rows);
  }
}
MTIA_KERNEL(scatter_add, add_rows);

struct Matrix {
  Tensor<const int32_t, 2> x;
  Tensor<int32_t, 2> out;
};
MTIA_ARGUMENTS(Matrix, x, out);

void layout(ProcessingElement& pe, const Matrix& arguments) {
  auto x = pe.allocate<Tile<int32_t, 16, 24>>();
  auto flipped = pe.allocate<Tile<int32_t, 24, 16>>();
  pe.load(x, arguments.x.at(0, 0));
  pe.transpose(flipped, x);
  auto flat = flipped.reshape<12, 32>();
  pe.add(flat, flat, 5);
  pe.max(flat.slice<4, 32>(0, 0), flat.slice<4, 32>(4, 0), flat.slice<4, 32>(8, 0));
  pe.store(arguments.out.at(0, 0), flipped);
}
MTIA_KERNEL(transposes, layout);

void choose(ProcessingElement& pe, const Matrix& arguments) {
  auto x = pe.allocate<Tile<int32_t, 16, 24>>();
  auto odd = pe.allocate<Tile<int32_t, 16, 24>>();
  auto condition = pe.allocate<Tile<bool, 16, 24>>();
  pe.load(x, arguments.x.at(0, 0));
  pe.bit_and(odd, x, 1);
  pe.compare(Compare::equal, condition, odd, 1);
  pe.select(x, condition, x, -1);
  pe.store(arguments.out.at(0, 0), x);
}
MTIA_KERNEL(selects, choose);

struct InPlace {
  Tensor<float, 1> x;
};
MTIA_ARGUMENTS(InPlace, x);

// A page that was loaded keeps what was loaded, whatever is stored over it afterwards.
void shift(ProcessingElement& pe, const InPlace& arguments) {
  auto first = pe.allocate<Tile<float, 1, 64>>();
  auto second = pe.allocate<Tile<float, 1, 64>>();
  pe.load(first, arguments.x.at(0));
  pe.load(second, arguments.x.at(64));
  pe.store(arguments.x.at(64), first);
  pe.store(arguments.x.at(0), second);
}
MTIA_KERNEL(swaps, shift);
