// Butterflies of radix 2, 4 and odd primes on real and imaginary tiles.
#include "kernels/cpp/fft_stages.h"

#include <array>
#include <bit>

#include "emulator/pe/kernel_timing.h"
#include "kernels/cpp/fft_plan.h"

namespace mtia::kernels {

using emulator::ProcessingElement;
using emulator::Tile;

namespace {

void add(ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, const ComplexTile& b) {
  pe.vector(Opcode::add_f, d.real, a.real, b.real);
  pe.vector(Opcode::add_f, d.imaginary, a.imaginary, b.imaginary);
}

void subtract(ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, const ComplexTile& b) {
  pe.vector(Opcode::sub_f, d.real, a.real, b.real);
  pe.vector(Opcode::sub_f, d.imaginary, a.imaginary, b.imaginary);
}

// d = a - i b; its parts may take the place of a's.
void subtract_turned(ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, const ComplexTile& b) {
  pe.vector(Opcode::add_f, d.real, a.real, b.imaginary);
  pe.vector(Opcode::sub_f, d.imaginary, a.imaginary, b.real);
}

// d = a + i b; its parts may take the place of a's.
void add_turned(ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, const ComplexTile& b) {
  pe.vector(Opcode::sub_f, d.real, a.real, b.imaginary);
  pe.vector(Opcode::add_f, d.imaginary, a.imaginary, b.real);
}

// d = a * factor + c
void add_scaled(ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, double factor,
                const ComplexTile& c) {
  using Operand = ProcessingElement::Operand;
  const auto part = [&](const Tile& to, const Tile& from, const Tile& sum) {
    const std::array<Operand, 3> operands{Operand{&from}, Operand{nullptr, emulator::bits_of_number(to.dtype, factor)},
                                          Operand{&sum}};
    pe.elementwise(Opcode::fma_f, 0, to.dtype, to, operands);
  };
  part(d.real, a.real, c.real);
  part(d.imaginary, a.imaginary, c.imaginary);
}

}  // namespace

ComplexTile ComplexTile::block(int64_t first, int64_t rows, int64_t columns, int64_t row_stride) const {
  return {real.view(first, rows, columns, row_stride), imaginary.view(first, rows, columns, row_stride)};
}

ComplexTile allocate_complex(ProcessingElement& pe, DType dtype, int64_t elements) {
  const Tile real = pe.allocate(dtype, 1, elements);
  return {real, pe.allocate(dtype, 1, elements)};
}

void multiply(ProcessingElement& pe, const ComplexTile& d, const ComplexTile& a, const ComplexTile& b) {
  pe.vector(Opcode::mul_f, d.real, a.real, b.real);
  pe.vector(Opcode::mul_f, d.imaginary, a.imaginary, b.imaginary);
  pe.vector(Opcode::sub_f, d.real, d.real, d.imaginary);
  pe.vector(Opcode::mul_f, d.imaginary, a.imaginary, b.real);
  pe.vector(Opcode::fma_f, d.imaginary, a.real, b.imaginary, d.imaginary);
}

// Places [t][j][q] of the source, t < radix, j < m, q < width, give [j][r][q] of the result.
struct FftStages::Stage {
  ComplexTile source;
  ComplexTile result;
  int64_t radix;
  int64_t m;
  int64_t width;
  int64_t roots;  // where this stage's begin
  ComplexTile scratch;
  Tile table;

  ComplexTile input(int64_t t) const { return source.block(t * m * width, m, width); }
  ComplexTile output(int64_t r) const { return result.block(r * width, m, width, radix * width); }
  ComplexTile room(int64_t number) const { return scratch.block(number * m * width, m, width); }
  bool is_last() const { return m == 1; }
  ComplexTile root(int64_t r) const {
    const int64_t first = roots + 2 * (r - 1) * m;
    return {table.view(first, m, 1, 1), table.view(first + m, m, 1, 1)};
  }
  // Where result r is to be written before it is turned by its roots: in its place where it needs none.
  ComplexTile before_roots(int64_t r, const ComplexTile& otherwise) const { return is_last() ? output(r) : otherwise; }
  void turn(ProcessingElement& pe, int64_t r, const ComplexTile& from) const {
    if (!is_last()) multiply(pe, output(r), from, root(r));
  }
};

bool FftStages::run(const ComplexTile& signal, const ComplexTile& other, int64_t columns) const {
  bool in_other = false;
  int64_t left = length_, roots = 0;
  for (const int64_t radix : radices_) {
    const int64_t width = length_ / left * columns;
    left /= radix;
    const Stage stage{
        in_other ? other : signal, in_other ? signal : other, radix, left, width, roots, scratch_, roots_};
    if (radix == 2) {
      two(stage);
    } else if (radix == 4) {
      four(stage);
    } else {
      odd(stage);
    }
    if (left > 1) roots += 2 * (radix - 1) * left;
    in_other = !in_other;
  }
  return in_other;
}

void FftStages::two(const Stage& stage) const {
  const ComplexTile a = stage.input(0), b = stage.input(1);
  add(pe_, stage.output(0), a, b);
  const ComplexTile difference = stage.before_roots(1, a);
  subtract(pe_, difference, a, b);
  stage.turn(pe_, 1, difference);
}

void FftStages::four(const Stage& stage) const {
  const ComplexTile a = stage.input(0), b = stage.input(1), c = stage.input(2), d = stage.input(3);
  const ComplexTile even = stage.room(0);
  subtract(pe_, even, a, c);
  add(pe_, a, a, c);
  const ComplexTile odd = c;
  subtract(pe_, odd, b, d);
  add(pe_, b, b, d);
  add(pe_, stage.output(0), a, b);
  const ComplexTile second = stage.before_roots(2, a);
  subtract(pe_, second, a, b);
  stage.turn(pe_, 2, second);
  const ComplexTile first = stage.before_roots(1, d);
  subtract_turned(pe_, first, even, odd);
  stage.turn(pe_, 1, first);
  const ComplexTile third = stage.before_roots(3, even);
  add_turned(pe_, third, even, odd);
  stage.turn(pe_, 3, third);
}

// By sums and differences of inputs t and radix - t, whose roots are conjugates of each other.
void FftStages::odd(const Stage& stage) const {
  const int64_t half = (stage.radix - 1) / 2;
  std::vector<ComplexTile> sums, differences;
  ComplexTile free = stage.room(0);
  const ComplexTile cosines = stage.room(1), sines = stage.room(2);
  const ComplexTile first = stage.input(0);
  for (int64_t t = 1; t <= half; ++t) {
    const ComplexTile a = stage.input(t), b = stage.input(stage.radix - t);
    subtract(pe_, free, a, b);
    add(pe_, a, a, b);
    sums.push_back(a);
    differences.push_back(free);
    free = b;
  }
  const ComplexTile total = stage.output(0);
  add(pe_, total, first, sums[0]);
  for (size_t t = 1; t < sums.size(); ++t) add(pe_, total, total, sums[t]);
  for (int64_t r = 1; r <= half; ++r) {
    for (int64_t t = 1; t <= half; ++t) {
      const auto [cosine, minus_sine] = root_of_unity(r * t, stage.radix);
      const size_t pair = static_cast<size_t>(t - 1);
      add_scaled(pe_, cosines, sums[pair], cosine, t == 1 ? first : cosines);
      if (t == 1) {
        pe_.vector(Opcode::mul_f, sines.real, differences[pair].real, -minus_sine);
        pe_.vector(Opcode::mul_f, sines.imaginary, differences[pair].imaginary, -minus_sine);
      } else {
        add_scaled(pe_, sines, differences[pair], -minus_sine, sines);
      }
    }
    const ComplexTile low = stage.before_roots(r, free);
    subtract_turned(pe_, low, cosines, sines);
    stage.turn(pe_, r, low);
    const ComplexTile high = stage.before_roots(stage.radix - r, cosines);
    add_turned(pe_, high, cosines, sines);
    stage.turn(pe_, stage.radix - r, high);
  }
}

}  // namespace mtia::kernels
