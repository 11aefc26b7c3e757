// A program changed at random, its checksum put right, is refused by name or runs within its bounds and its limits.
// By hand, over programs that the compiler made: `python -m tests.fuzz.programs`, which sets the variables below.
#include <algorithm>
#include <cstdio>
#include <cstdlib>
#include <filesystem>
#include <fstream>
#include <map>

#include "base/error.h"
#include "emulator/machine.h"
#include "program/mutation.h"
#include "program/specimens.h"
#include "program/verify.h"
#include "test.h"

namespace {

using mtia::TileProgram;
using mtia::test::Machine;
using mtia::test::Mutator;

constexpr uint64_t buffer_bytes = 8192;
constexpr uint64_t guard_bytes = 4096;
constexpr std::byte guard{0xA5};
constexpr uint64_t default_cases = 1500;

uint64_t number_from(const char* variable, uint64_t otherwise) {
  const char* text = std::getenv(variable);
  return text == nullptr ? otherwise : std::strtoull(text, nullptr, 10);
}

std::vector<TileProgram> corpus() {
  const char* folder = std::getenv("MTIA_SIM_PROGRAMS");
  if (folder == nullptr) return mtia::test::specimens();
  std::vector<std::filesystem::path> paths;
  for (const auto& entry : std::filesystem::directory_iterator(folder)) paths.push_back(entry.path());
  std::sort(paths.begin(), paths.end());
  std::vector<TileProgram> programs;
  for (const auto& path : paths) {
    std::ifstream file(path, std::ios::binary);
    const std::vector<char> bytes{std::istreambuf_iterator<char>(file), {}};
    try {
      programs.push_back(mtia::deserialise(std::as_bytes(std::span(bytes))));
      mtia::verify(programs.back());
    } catch (const mtia::Error& error) {
      std::printf("not taken: %s: %s\n", path.c_str(), error.what());
    }
  }
  return programs;
}

mtia::ChipSpec large_chip() {
  mtia::ChipSpec chip = mtia::test::small_chip();
  chip.local_memory_bytes = 2 << 20;
  return chip;
}

// Buffers of one launch, each between guards.
class Buffers {
 public:
  explicit Buffers(Machine& machine) : machine_(machine) {
    memory_ = machine.put(std::vector<std::byte>(count * pitch, guard));
  }
  uint64_t address(uint64_t index) const { return memory_ + index % count * pitch + guard_bytes; }
  mtia::emulator::AddressRange range(uint64_t index) const { return {address(index), address(index) + buffer_bytes}; }
  void fill(Mutator& random) {
    std::vector<std::byte> contents(count * pitch, guard);
    const bool small = random.one_in(2);  // indices mostly, or any bits
    for (uint64_t i = 0; i < count; ++i) {
      for (uint64_t word = 0; word < buffer_bytes; word += 4) {
        const auto bits = static_cast<uint32_t>(small ? random.below(512) : static_cast<uint64_t>(random.number()));
        std::memcpy(contents.data() + i * pitch + guard_bytes + word, &bits, sizeof(bits));
      }
    }
    std::memcpy(host(), contents.data(), contents.size());
  }
  bool guards_stand() {
    const std::byte* bytes = host();
    for (uint64_t i = 0; i < count * pitch; ++i) {
      const uint64_t within = i % pitch;
      if ((within < guard_bytes || within >= guard_bytes + buffer_bytes) && bytes[i] != guard) return false;
    }
    return true;
  }

 private:
  static constexpr uint64_t count = 4;
  static constexpr uint64_t pitch = buffer_bytes + 2 * guard_bytes;
  std::byte* host() {
    return static_cast<std::byte*>(
        machine_.emulator().memory().host_span(memory_, count * pitch, mtia::emulator::Access::write));
  }

  Machine& machine_;
  uint64_t memory_ = 0;
};

void run_case(Machine& machine, Buffers& buffers, Mutator& random, const std::vector<std::byte>& bytes,
              const TileProgram& original) {
  mtia::emulator::Launch launch;
  launch.program = mtia::emulator::load_program(bytes, machine.emulator().chip());
  buffers.fill(random);
  std::vector<uint64_t> arguments;
  uint64_t pointers = 0;
  for (const mtia::emulator::ParameterInfo& parameter : mtia::emulator::parameters_of(*launch.program)) {
    const bool pointer =
        parameter.is_pointer || (arguments.size() < original.arguments.size() &&
                                 original.arguments[arguments.size()].is_pointer);  // so that its descriptors resolve
    if (pointer) {
      launch.extents.push_back(buffers.range(pointers));
      arguments.push_back(buffers.address(pointers++));
    } else {
      arguments.push_back(
          static_cast<uint64_t>(random.one_in(4) ? random.number() : static_cast<int64_t>(random.below(40))));
    }
  }
  if (launch.extents.empty()) launch.extents.push_back(buffers.range(0));
  launch.arguments.assign(arguments.data(), arguments.size());
  launch.grid = {static_cast<uint32_t>(1 + random.below(6)), static_cast<uint32_t>(1 + random.below(2)), 1};
  launch.loop_limit = 50;
  machine.emulator().run(launch);
}

[[noreturn]] void defect(uint64_t seed, const std::string& what) {
  mtia::test::fail(__FILE__, __LINE__, "case " + std::to_string(seed) + ": " + what);
}

}  // namespace

TEST(specimens_verify_and_run) {
  Machine machine;
  Buffers buffers(machine);
  Mutator random(1);
  for (const TileProgram& program : mtia::test::specimens()) {
    mtia::verify(program);
    mtia::emulator::Launch launch;
    launch.program = mtia::emulator::load_program(mtia::serialise(program), machine.emulator().chip());
    launch.arguments = {buffers.address(0), 5};
    launch.extents.push_back(buffers.range(0));
    buffers.fill(random);
    machine.emulator().run(launch);
    CHECK(buffers.guards_stand());
  }
}

TEST(mutated_programs_are_refused_or_run_within_bounds) {
  const std::vector<TileProgram> programs = corpus();
  CHECK(!programs.empty());
  const uint64_t first = number_from("MTIA_SIM_FUZZ_FIRST", 0);
  const uint64_t cases = number_from("MTIA_SIM_FUZZ_CASES", default_cases);
  const bool loud = std::getenv("MTIA_SIM_FUZZ_CASES") != nullptr;
  // One host thread: a changed program may store where another program of its grid does, a race of its own.
  Machine machine(1, large_chip());
  machine.emulator().set_print_sink([](std::string_view, void*) {}, nullptr);
  Buffers buffers(machine);
  uint64_t ran = 0;
  std::map<std::string, uint64_t> refused;
  for (uint64_t seed = first; seed < first + cases; ++seed) {
    if (loud) {
      std::printf("case %llu\n", static_cast<unsigned long long>(seed));
      std::fflush(stdout);
    }
    Mutator random(seed);
    const TileProgram& original = programs[random.below(programs.size())];
    const auto bytes = random.mutate(original, programs[random.below(programs.size())]);
    try {
      run_case(machine, buffers, random, bytes, original);
      ++ran;
    } catch (const mtia::Error& error) {
      if (error.category() == mtia::ErrorCategory::InternalError) defect(seed, error.what());
      ++refused[std::string(mtia::name_of(error.category()))];
    } catch (const std::exception& error) {  // what no user could read, or no memory
      defect(seed, error.what());
    }
    if (!buffers.guards_stand()) defect(seed, "memory outside of the launch's buffers was written");
  }
  if (loud) {
    std::printf("ran %llu\n", static_cast<unsigned long long>(ran));
    for (const auto& [category, count] : refused)
      std::printf("refused %s %llu\n", category.c_str(), static_cast<unsigned long long>(count));
  }
  CHECK(ran > cases / 20);
  CHECK(ran < cases);
}
