// Kernels of the tile API inside the test program: roles, PEs that work together, failures; on several host threads.
#include <cmath>
#include <string>
#include <vector>

#include "base/error.h"
#include "emulator/machine.h"
#include "emulator/tile_kernels/interface.h"
#include "include/mtia/kernel.h"
#include "test.h"

namespace mtia::test {
namespace {

struct Vectors {
  Tensor<float, 1> x, y;
  int64_t number;
  WorkQueue items;
};
MTIA_ARGUMENTS(Vectors, x, y, number, items);

constexpr int64_t block = 64;

struct Buffers {
  CircularBuffer<Tile<float, 1, block>, 2> in{"in"};
  CircularBuffer<Tile<float, 1, block>, 2> out{"out"};
};

void load(ProcessingElement& pe, const Vectors& arguments, Buffers& buffers) {
  for (int64_t part : pe.share_of((arguments.x.size() + block - 1) / block))
    pe.load(pe.reserve(buffers.in), arguments.x.at(part * block));
}
void compute(ProcessingElement& pe, const Vectors& arguments, Buffers& buffers) {
  for (int64_t part : pe.share_of((arguments.x.size() + block - 1) / block + arguments.number)) {
    (void)part;
    auto in = pe.front(buffers.in);
    auto out = pe.reserve(buffers.out);
    pe.exp(out, in);
  }
}
void store(ProcessingElement& pe, const Vectors& arguments, Buffers& buffers) {
  for (int64_t part : pe.share_of((arguments.x.size() + block - 1) / block))
    pe.store(arguments.y.at(part * block), pe.front(buffers.out));
}
MTIA_KERNEL(exponentials, load, compute, store);

void rotate(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  for (int64_t step = 0; step < arguments.number; ++step) {
    pe.load(tile, arguments.x.at(pe.index() * block));
    pe.barrier();
    pe.store(arguments.x.at((pe.index() + 1) % pe.count() * block), tile);
    pe.barrier();
  }
}
MTIA_KERNEL(rotation, rotate);

void together(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  for (int64_t step = 0; step < arguments.number; ++step) {
    pe.multicast(Along::row, tile, arguments.x.at(pe.row() * block));
    if (pe.reduce_along(Along::column, tile)) pe.store(arguments.y.at(pe.column() * block), tile);
  }
}
MTIA_KERNEL(sums, together);

void draw(ProcessingElement& pe, const Vectors& arguments) {
  auto tile = pe.allocate<Tile<float, 1, block>>();
  while (auto item = pe.next(arguments.items)) {
    pe.load(tile, arguments.x.at(*item * block));
    for (int64_t i = 0; i < *item % 5; ++i) pe.add(tile, tile, 1.0F);
    pe.store(arguments.y.at(*item * block), tile);
  }
}
MTIA_KERNEL(queue, draw);

void end_early(ProcessingElement& pe, const Vectors& arguments) {
  if (pe.index() != arguments.number) pe.barrier();
}
MTIA_KERNEL(not_all, end_early);

const emulator::TileKernel& kernel_named(const std::string& name) {
  static std::vector<emulator::TileKernel> kernels;
  if (kernels.empty()) {
    detail::api = &emulator::tile_kernel_api();
    for (const mtia_kernel* kernel = detail::first_kernel; kernel != nullptr; kernel = kernel->next)
      kernels.push_back({{kernel->name, nullptr, kernel->argument_bytes}, kernel});
  }
  for (const emulator::TileKernel& kernel : kernels) {
    if (kernel.name == name) return kernel;
  }
  throw InternalError("no kernel " + name);
}

struct Run {
  std::vector<float> x;
  std::vector<float> y;
  emulator::LaunchAccount account;
};

Run run(unsigned threads, const std::string& name, size_t elements, int64_t number,
        std::array<uint32_t, 3> grid = {0, 0, 1}) {
  Machine machine(threads);
  std::vector<float> x(elements);
  for (size_t i = 0; i < elements; ++i) x[i] = static_cast<float>(i % 97) * 0.03F - 1.0F;
  Vectors arguments{};
  const auto size = static_cast<int64_t>(elements);
  arguments.x = {machine.put(x), {size}, {1}};
  arguments.y = {machine.put(std::vector<float>(elements, -7.0F)), {size}, {1}};
  arguments.number = number;
  arguments.items.items = size / block;
  emulator::Launch launch;
  launch.kernel = &kernel_named(name);
  launch.grid = grid;
  launch.set_arguments(arguments);
  Run result;
  result.account = machine.run(launch);
  result.x = machine.get<float>(arguments.x.base, elements);
  result.y = machine.get<float>(arguments.y.base, elements);
  return result;
}

}  // namespace

TEST(roles_of_a_tile_kernel_hand_pages_on) {
  for (const size_t elements : {size_t{1}, size_t{64}, size_t{1000}, size_t{4096}}) {
    const Run one = run(1, "exponentials", elements, 0);
    for (size_t i = 0; i < elements; ++i) CHECK_NEAR(one.y[i], std::exp(one.x[i]), 1e-5);
    for (const unsigned threads : {2U, 4U}) {
      const Run more = run(threads, "exponentials", elements, 0);
      CHECK(more.y == one.y);
      CHECK_EQ(more.account.cycles, one.account.cycles);
    }
  }
}

TEST(barriers_of_a_tile_kernel_order_memory) {
  for (const unsigned threads : {1U, 2U, 4U}) {
    const Run rotated = run(threads, "rotation", 4 * block, 3);
    const Run still = run(1, "rotation", 4 * block, 0);
    for (size_t i = 0; i < still.x.size(); ++i) CHECK_EQ(rotated.x[(i + 3 * block) % still.x.size()], still.x[i]);
    CHECK_EQ(rotated.account.cycles, run(1, "rotation", 4 * block, 3).account.cycles);
  }
}

TEST(multicast_and_chain_of_a_tile_kernel) {
  const Run one = run(1, "sums", 2 * block, 20, {2, 2, 1});
  for (int64_t i = 0; i < block; ++i) {
    const auto place = static_cast<size_t>(i);
    const float sum = one.x[place] + one.x[place + block];
    CHECK_EQ(one.y[place], sum);
    CHECK_EQ(one.y[place + block], sum);
  }
  for (const unsigned threads : {2U, 4U}) {
    const Run more = run(threads, "sums", 2 * block, 20, {2, 2, 1});
    CHECK(more.y == one.y);
    CHECK_EQ(more.account.cycles, one.account.cycles);
    CHECK_EQ(more.account.bytes.sram_read, one.account.bytes.sram_read);
  }
}

TEST(work_queue_of_a_tile_kernel) {
  const Run one = run(1, "queue", 100 * block, 0);
  for (size_t i = 0; i < one.x.size(); ++i) CHECK_NEAR(one.y[i], one.x[i] + static_cast<float>(i / block % 5), 1e-5);
  for (const unsigned threads : {2U, 4U}) {
    const Run more = run(threads, "queue", 100 * block, 0);
    CHECK(more.y == one.y);
    CHECK_EQ(more.account.cycles, one.account.cycles);
  }
}

TEST(failures_of_tile_kernels_name_role_and_line) {
  for (const unsigned threads : {1U, 4U}) {
    const std::string waits = CHECK_THROWS(run(threads, "exponentials", 512, 8), Deadlock);
    CHECK_CONTAINS(waits, "role compute on PE 0, test_tile_kernels.cpp:");
    CHECK_CONTAINS(waits, "front of 1 page of circular buffer in: 0 of 2 pages pushed");
    const std::string barrier = CHECK_THROWS(run(threads, "not_all", 512, 2), Deadlock);
    CHECK_CONTAINS(barrier, "barrier for all PEs: 3 of 4 have come");
  }
}

TEST(operations_of_the_tile_interface_exist) {
  CHECK(emulator::tile_operations().size() > 30);
  CHECK_EQ(std::string(emulator::tile_operations()[0].name), "add");
}

}  // namespace mtia::test
