// Device memory, the worker pool, and what the scoreboard and the SRAM cache say of programs whose time can be worked
// out by hand.
#include <sys/wait.h>
#include <unistd.h>
#include <atomic>
#include <csignal>
#include <cstdlib>

#include "base/error.h"
#include "emulator/machine.h"
#include "emulator/pe/processing_element.h"
#include "emulator/timing/traffic.h"
#include "test.h"

namespace {

using mtia::absent;
using mtia::DType;
using mtia::Opcode;
using mtia::ProgramBuilder;
using mtia::emulator::Access;
using mtia::emulator::DeviceMemory;
using mtia::emulator::LaunchAccount;
using mtia::test::Machine;

// Loads `loads` tiles of 4 KiB in a loop and multiplies each by itself as 32 x 32 float32.
LaunchAccount pipeline(uint32_t buffers, int64_t loads) {
  ProgramBuilder b("pipeline");
  const uint32_t x = b.pointer("x");
  const uint32_t t = b.tile(DType::F32, {32, 32}, buffers);
  const uint32_t d = b.tile(DType::F32, {32, 32});
  const uint32_t i = b.scalar(DType::I32);
  b.emit(Opcode::copy, {d}, {b.constant_f32(0)});
  b.emit(Opcode::for_begin, {i}, {b.constant(DType::I32, 0), b.constant(DType::I32, loads), b.constant(DType::I32, 1)},
         {buffers});
  b.load(t, x, {{b.constant(DType::I32, 32)}, {b.constant(DType::I32, 1)}});
  b.emit(Opcode::dot, {d}, {t, t, d}, {0});
  b.emit(Opcode::end, {}, {});
  Machine machine(1);
  const uint64_t p = machine.put(std::vector<float>(1024));
  return machine.run(b.program(), {p});
}

}  // namespace

TEST("device addresses fault on the host, the checked accessor does not") {
  DeviceMemory memory(uint64_t{216} << 30);
  const uint64_t address = memory.allocate(4096);
  std::memset(memory.host_span(address, 4096, Access::write), 7, 4096);
  const pid_t child = fork();
  if (child == 0) {
    std::signal(SIGSEGV, SIG_DFL);
    *reinterpret_cast<volatile char*>(address) = 1;
    _exit(0);
  }
  int status = 0;
  waitpid(child, &status, 0);
  CHECK(WIFSIGNALED(status) || WEXITSTATUS(status) != 0);
}

TEST("allocations are the bounds; what is freed is gone, comes back zeroed, and merges") {
  DeviceMemory memory(1 << 24);
  const uint64_t a = memory.allocate(1 << 20);
  const uint64_t b = memory.allocate(100);
  CHECK(b >= a + (1 << 20));
  std::memset(memory.host_span(a, 1 << 20, Access::write), 1, 1 << 20);
  CHECK_CONTAINS(CHECK_THROWS(memory.host_span(a + 4, 1 << 20, Access::read), mtia::OutOfBounds),
                 "runs 4 bytes past the end");
  CHECK_CONTAINS(CHECK_THROWS(memory.host_span(b + 100, 1, Access::write), mtia::OutOfBounds),
                 "0 bytes past the end of the nearest allocation");
  CHECK_CONTAINS(CHECK_THROWS(memory.host_span(64, 1, Access::write), mtia::OutOfBounds), "not in device memory");
  CHECK_EQ(memory.bytes_in_use(), (1 << 20) + 100);
  memory.free(a);
  CHECK_THROWS(memory.host_span(a, 1, Access::read), mtia::OutOfBounds);
  CHECK_THROWS(memory.free(a), mtia::InvalidArgument);
  const uint64_t again = memory.allocate(1 << 20);
  CHECK_EQ(again, a);
  CHECK_EQ(int{*static_cast<signed char*>(memory.host_span(again + 5000, 1, Access::read))}, 0);
  memory.free(again);
  memory.free(b);
  CHECK_EQ(memory.largest_free_block(), memory.capacity());
  const std::string message = CHECK_THROWS(memory.allocate(1 << 25), mtia::OutOfDeviceMemory);
  CHECK_CONTAINS(message, "cannot allocate 33554432 bytes: 0 of 16777216 bytes are held");
}

TEST("the pool runs each item once, on the caller alone for one item") {
  for (const unsigned threads : {1U, 2U, 4U}) {
    mtia::emulator::WorkerPool pool(threads);
    for (int round = 0; round < 200; ++round) {
      std::vector<std::atomic<int>> seen(static_cast<size_t>(round % 37));
      pool.run(
          seen.size(),
          [](void* context, uint64_t item, unsigned) {
            (*static_cast<std::vector<std::atomic<int>>*>(context))[item].fetch_add(1);
          },
          &seen);
      for (const auto& count : seen) CHECK_EQ(count.load(), 1);
    }
  }
}

TEST("two buffers overlap loads with products, one does not") {
  // Small chip: a load of 4 KiB takes 8 + 4096 / 32 = 136 cycles and 300 of latency; a product 128
  // cycles.
  const uint64_t one = pipeline(1, 64).cycles;
  const uint64_t two = pipeline(2, 64).cycles;
  const uint64_t four = pipeline(4, 64).cycles;
  CHECK(one > 64 * (136 + 128));
  CHECK(two < one);
  CHECK(four < two);
  CHECK(four >= 64 * 136);
  CHECK(four < 64 * 136 + 1500);
}

TEST("time follows the work: twice the programs of a full grid take twice as long") {
  ProgramBuilder b("work");
  const uint32_t t = b.tile(DType::F32, {4096});
  b.emit(Opcode::copy, {t}, {b.constant_f32(1)});
  for (int i = 0; i < 20; ++i) b.emit(Opcode::mul_f, {t}, {t, t});
  Machine machine;
  const uint64_t once = machine.run(b.program(), {}, {4, 1, 1}).cycles - 100;
  const uint64_t twice = machine.run(b.program(), {}, {8, 1, 1}).cycles - 100;
  // 4096 elements at 16 a cycle, 21 instructions.
  CHECK_NEAR(static_cast<double>(once), 21 * 256.0, 100);
  CHECK_NEAR(static_cast<double>(twice), 2 * 21 * 256.0, 200);
}

TEST("energy is static power over time plus operations and bytes") {
  ProgramBuilder b("energy");
  const uint32_t t = b.tile(DType::F32, {4096});
  b.emit(Opcode::copy, {t}, {b.constant_f32(1)});
  b.emit(Opcode::exp, {t}, {t});
  Machine machine;
  const LaunchAccount account = machine.run(b.program(), {});
  const double bytes = 4096 * 4 * 3;
  CHECK_EQ(account.bytes.local_memory, static_cast<uint64_t>(bytes));
  CHECK_NEAR(account.dynamic_joules, (4096 * (0.4 + 1.0) + 20 + bytes * 0.1) * 1e-12, 1e-15);
  CHECK_NEAR(account.joules, account.dynamic_joules + 20 * account.seconds, 1e-15);
  CHECK_EQ(account.flops, 4096);
}

TEST("the SRAM serves what an earlier launch left, and writes dirty data back when it evicts") {
  mtia::emulator::SramCache cache(1000);
  const auto use = [&](uint64_t low, uint64_t high, uint64_t read, uint64_t written) {
    mtia::emulator::LevelBytes bytes;
    mtia::emulator::Window window;
    window.range = {low, high};
    window.low = low;
    window.high = high;
    window.bytes_read = read;
    window.bytes_written = written;
    cache.use(window, bytes);
    return bytes;
  };
  CHECK_EQ(use(0, 400, 400, 0).dram_read, 400);
  CHECK_EQ(use(0, 400, 800, 0).dram_read, 0);         // repeats and the next launch hit
  CHECK_EQ(use(200, 600, 400, 0).dram_read, 200);     // half is there
  CHECK_EQ(use(1000, 1500, 0, 500).dram_written, 0);  // kept dirty, in the place of the oldest 100 bytes
  CHECK_EQ(use(100, 600, 500, 0).dram_read, 0);
  CHECK_EQ(use(2000, 2300, 300, 0).dram_written, 300);  // pushed out, no more than has to be
  CHECK_EQ(use(1300, 1500, 200, 0).dram_read, 0);
  CHECK_EQ(use(3000, 4000, 1000, 0).dram_written, 200);
  CHECK_EQ(cache.resident_bytes(), 1000);
  CHECK_EQ(use(0, 400, 400, 0).dram_read, 400);
  CHECK_EQ(use(10000, 15000, 0, 5000).dram_written, 4000);  // a stream leaves its tail behind
  CHECK_EQ(use(14100, 15000, 900, 0).dram_read, 0);
  CHECK_EQ(use(10000, 15000, 5000, 0).dram_read, 5000);  // and finds nothing of itself
  CHECK_EQ(use(20000, 21000, 1000, 0).dram_read, 1000);
  CHECK_EQ(use(0, 10, 0, 10).dram_written, 0);
  CHECK_EQ(use(20000, 21000, 1000, 0).dram_read, 1000);  // the first misses push out what comes next
  CHECK_EQ(use(0, 500, 500, 0).dram_read, 500);
  CHECK_EQ(use(1000, 1400, 400, 0).dram_read, 400);
  CHECK_EQ(use(1000, 1600, 600, 0).dram_read, 200);  // others are older
}

TEST("a C++ kernel moves rows through a circular buffer and its misuse is named") {
  struct Arguments {
    uint64_t from, to;
    int64_t rows;
  };
  static const auto kernel = [](mtia::emulator::ProcessingElement& pe, const void* raw) {
    const Arguments& a = *static_cast<const Arguments*>(raw);
    mtia::emulator::CircularBuffer buffer(pe, DType::F32, 1, 64, 2);
    const mtia::emulator::Tile doubled = pe.allocate(DType::F32, 1, 64);
    for (int64_t row = pe.index(); row < a.rows; row += pe.count()) {
      const auto at = static_cast<uint64_t>(row) * 256;
      {
        const auto page = buffer.reserve();
        pe.dma_load(page.tile(), {a.from + at, DType::F32, 64});
      }
      const auto page = buffer.front();
      pe.vector(Opcode::mul_f, doubled, page.tile(), 2.0);
      pe.dma_store({a.to + at, DType::F32, 64}, doubled);
    }
    if (a.rows < 0) buffer.front();
  };
  const mtia::emulator::CppKernel description{
      "double_rows", [](mtia::emulator::ProcessingElement& pe, const void* raw) { kernel(pe, raw); },
      sizeof(Arguments)};
  Machine machine;
  std::vector<float> source(64 * 11);
  for (size_t i = 0; i < source.size(); ++i) source[i] = static_cast<float>(i);
  const uint64_t from = machine.put(source);
  const uint64_t to = machine.put(std::vector<float>(source.size()));
  mtia::emulator::Launch launch;
  launch.kernel = &description;
  launch.grid[0] = 0;
  launch.set_arguments(Arguments{from, to, 11});
  const LaunchAccount account = machine.emulator().run(launch);
  const auto out = machine.get<float>(to, source.size());
  for (size_t i = 0; i < source.size(); ++i) CHECK_EQ(out[i], 2 * source[i]);
  CHECK_EQ(account.bytes.sram_read, source.size() * 4);
  launch.set_arguments(Arguments{from, to, -1});
  CHECK_CONTAINS(CHECK_THROWS(machine.emulator().run(launch), mtia::Deadlock), "kernel double_rows on PE 0");
  launch.set_arguments(Arguments{from + 256, to, 11});
  CHECK_THROWS(machine.emulator().run(launch), mtia::OutOfBounds);
}

TEST(a_further_program_of_a_pe_starts_in_program_start_cycles) {
  mtia::test::Machine machine;
  mtia::ProgramBuilder b("empty");
  b.scalar_op(mtia::Opcode::program_id, mtia::DType::I32, {}, {0});
  const auto program = b.program();
  const uint64_t once = machine.run(program, {}, {4, 1, 1}).cycles;
  const uint64_t eleven_times = machine.run(program, {}, {44, 1, 1}).cycles;
  // Ten more programs on each of the four PEs, of one scalar instruction each.
  const double cycles = machine.emulator().chip().program_start_cycles + 1;
  CHECK_EQ(eleven_times - once, static_cast<uint64_t>(10 * cycles));
}

// Twenty times a product of 128 cycles and, independent of it, an addition of 256.
mtia::TileProgram product_beside_addition() {
  ProgramBuilder b("both");
  const uint32_t t = b.tile(DType::F32, {32, 32});
  const uint32_t d = b.tile(DType::F32, {32, 32});
  const uint32_t u = b.tile(DType::F32, {4096});
  for (const uint32_t tile : {t, d, u}) b.emit(Opcode::copy, {tile}, {b.constant_f32(0)});
  for (int i = 0; i < 20; ++i) {
    b.emit(Opcode::dot, {d}, {t, t, d}, {0});
    b.emit(Opcode::add_f, {u}, {u, u});
  }
  return b.program();
}

TEST("products run beside vector instructions, or take turns with them") {
  mtia::TileProgram program = product_beside_addition();
  mtia::ChipSpec chip = mtia::test::small_chip();
  const auto cycles = [&] { return static_cast<double>(Machine(1, chip).run(program, {}).cycles); };
  const double beside = cycles();
  CHECK_NEAR(beside, 20 * 256.0, 700);
  chip.dot_beside_vector = 0;
  const double in_turn = cycles();
  CHECK_NEAR(in_turn - beside, 20 * 128.0, 200);
  chip.dot_beside_vector = 1;
  chip.dot_waited_fraction = 0.5;  // of products that a program waits for, and of no others
  CHECK_EQ(cycles(), beside);
  program.waits_for_products = true;
  CHECK_NEAR(cycles() - beside, 20 * 256.0, 200);
  chip.dot_waited_fraction = 1;  // a chip of one kind of product, which waits if it must
  CHECK_EQ(cycles(), beside);
}
