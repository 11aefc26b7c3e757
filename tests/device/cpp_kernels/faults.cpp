// Kernels that break a rule when they run, each its own way.
#include <cassert>
#include <cstdlib>
#include <cstring>
#include <exception>

#include <mtia/kernel.h>

using namespace mtia;

struct Arguments {
  Tensor<float, 1> x;
  int64_t number;
};
MTIA_ARGUMENTS(Arguments, x, number);

struct Buffers {
  CircularBuffer<Tile<float, 1, 64>, 2> pages{"pages"};
};

// Produces three pages, the consumer takes `number`.
void produce(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t i = 0; i < 3; ++i) pe.load(pe.reserve(buffers.pages), arguments.x.at(64 * i));  // produce
}
void consume(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  for (int64_t i = 0; i < arguments.number; ++i) pe.store(arguments.x.at(64 * i), pe.front(buffers.pages));  // consume
}
MTIA_KERNEL(unbalanced, produce, consume);

void read_past_the_end(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 64>>();
  Tensor<float, 1> wrong = arguments.x;
  wrong.sizes[0] += arguments.number;
  pe.load(tile, wrong.at(arguments.x.size()));  // past the end
}
MTIA_KERNEL(out_of_bounds, read_past_the_end);

void negative_index(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 64>>();
  pe.load(tile, arguments.x.at(-1));  // negative
}
MTIA_KERNEL(negative, negative_index);

void too_much(ProcessingElement& pe, const Arguments&) {
  for (int i = 0; i < 100; ++i) pe.allocate<Tile<float, 128, 128>>();  // too much
}
MTIA_KERNEL(out_of_local_memory, too_much);

void spin(ProcessingElement& pe, const Arguments& arguments) {
  volatile int64_t turns = 0;
  pe.scalar_work(1);
  while (arguments.number != 0) turns = turns + 1;
}
MTIA_KERNEL(spins, spin);

void poll(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 1>>();
  do {
    pe.load(tile, arguments.x.at(0));
  } while (pe.read(tile, 0, 0) != -12345.0);  // poll
}
MTIA_KERNEL(polls, poll);

void use_after(ProcessingElement& pe, const Arguments& arguments) {
  CircularBuffer<Tile<float, 1, 64>, 2> pages(pe, "pages");
  Tile<float, 1, 64> kept = pe.reserve(pages).tile();
  {
    auto front = pe.front(pages);
  }
  pe.load(kept, arguments.x.at(0));  // use after
}
MTIA_KERNEL(stale_tile, use_after);

void too_many_pages(ProcessingElement& pe, const Arguments& arguments) {
  CircularBuffer<Tile<float>, dynamic_pages> pages(pe, "pages", 1, 64, static_cast<uint32_t>(arguments.number));
  auto window = pe.reserve<3>(pages);  // too many
}
MTIA_KERNEL(wrong_page_count, too_many_pages);

void bad_slice(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 8, 8>>();
  pe.fill(tile.slice(arguments.number, 0, 4, 8), 1.0);  // slice
}
MTIA_KERNEL(slice_outside, bad_slice);

struct Mine {
  const char* text;
};
void throws(ProcessingElement&, const Arguments&) { throw Mine{"mine"}; }
MTIA_KERNEL(throws_its_own, throws);

struct Early {
  explicit Early(ProcessingElement& pe) : pages(pe, "pages") { auto page = pe.front(pages); }
  CircularBuffer<Tile<float, 1, 64>, 2> pages;
};
void never(ProcessingElement&, const Arguments&, Early&) {}
MTIA_KERNEL(waits_in_constructor, never);

struct Endless {
  Endless(ProcessingElement&, const Arguments& arguments) {
    volatile int64_t turns = 0;
    while (arguments.number == 0) turns = turns + 1;
  }
};
void never_begins(ProcessingElement&, const Arguments&, Endless&) {}
MTIA_KERNEL(endless_constructor, never_begins);

void larger_sum(ProcessingElement& pe, const Arguments& arguments) {
  auto sum = pe.allocate<Accumulator<float>>(16, 16);
  auto a = pe.allocate<Tile<float>>(arguments.number, 16);
  auto b = pe.allocate<Tile<float>>(16, 16);
  pe.fill(a, 1.0);
  pe.fill(b, 1.0);
  pe.clear(sum, arguments.number, 16);
  pe.dot(sum, a, b);  // larger
}
MTIA_KERNEL(sum_outside_of_its_page, larger_sum);

// ---- what the host's processor refuses

struct HostArray {
  float* data;
  int64_t divisor;
};

void write_nowhere(ProcessingElement& pe, const Arguments& arguments) {
  pe.scalar_work(1);
  volatile HostArray array{nullptr, arguments.number};
  array.data[3] = 1;  // nowhere
}
MTIA_KERNEL(writes_nowhere, write_nowhere);

void fill_nowhere(ProcessingElement& pe, const Arguments& arguments) {
  auto* volatile place = reinterpret_cast<void*>(64);
  std::memset(place, 1, static_cast<size_t>(arguments.number));  // library
  pe.scalar_work(1);
}
MTIA_KERNEL(fills_nowhere, fill_nowhere);

void call_nothing(ProcessingElement& pe, const Arguments&) {
  void (*volatile nothing)() = nullptr;
  nothing();  // call
  pe.scalar_work(1);
}
MTIA_KERNEL(calls_nothing, call_nothing);

void divide(ProcessingElement& pe, const Arguments& arguments) {
  auto tile = pe.allocate<Tile<float, 1, 1>>();
  volatile int64_t divisor = arguments.number;
  pe.fill(tile, static_cast<float>(7 / divisor));  // divide
}
MTIA_KERNEL(divides_by_zero, divide);

int64_t depth(ProcessingElement& pe, int64_t left) {
  volatile int64_t here = left;
  if (left > 0) depth(pe, left - 1);
  return here;
}
void recurse(ProcessingElement& pe, const Arguments& arguments) { depth(pe, arguments.number); }
MTIA_KERNEL(recurses, recurse);

void allocate_on_the_stack(ProcessingElement& pe, const Arguments& arguments) {
  volatile float large[1 << 20];
  large[arguments.number] = 1;
  pe.scalar_work(static_cast<int64_t>(large[arguments.number]));
}
MTIA_KERNEL(large_array, allocate_on_the_stack);

void wait_beside(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  pe.store(arguments.x.at(0), pe.front(buffers.pages));
}
void fall_while_one_waits(ProcessingElement& pe, const Arguments& arguments, Buffers& buffers) {
  pe.load(pe.reserve(buffers.pages), arguments.x.at(0));
  volatile HostArray array{nullptr, 0};
  pe.scalar_work(static_cast<int64_t>(array.data[5]));  // read
}
MTIA_KERNEL(reads_nowhere, fall_while_one_waits, wait_beside);

void give_up(ProcessingElement& pe, const Arguments& arguments) {
  if (pe.index() == arguments.number) std::abort();  // abort
}
MTIA_KERNEL(aborts, give_up);

void expect(ProcessingElement&, const Arguments& arguments) {
  assert(arguments.number == 7);  // assertion
}
MTIA_KERNEL(asserts, expect);

void terminate(ProcessingElement&, const Arguments& arguments) {
  if (arguments.number == 3) std::terminate();  // terminate
}
MTIA_KERNEL(terminates, terminate);
