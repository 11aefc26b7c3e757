// Changes a tile program at random: its fields one by one, keeping its types or not, or the bytes of its serialised
// form.
#pragma once

#include <cstddef>
#include <cstdint>
#include <random>
#include <span>
#include <vector>

#include "program/tile_program.h"

namespace mtia::test {

class Mutator {
 public:
  explicit Mutator(uint64_t seed) : generator_(seed) {}

  // One to eight changes, and the serialised form of what comes out, with a checksum that fits. `donor` gives
  // instructions that are moved into the program.
  std::vector<std::byte> mutate(TileProgram program, const TileProgram& donor);

  uint64_t below(uint64_t bound) { return bound == 0 ? 0 : generator_() % bound; }
  bool one_in(uint64_t count) { return below(count) == 0; }
  // Small, or next to a power of two, or any.
  int64_t number();

 private:
  void change(TileProgram& program, const TileProgram& donor);
  void change_instruction(TileProgram& program);
  void change_order(TileProgram& program, const TileProgram& donor);
  void change_value(TileProgram& program);
  void change_place(TileProgram& program);
  void change_names(TileProgram& program);
  void change_bytes(std::vector<std::byte>& bytes);
  uint32_t value_like(const TileProgram& program, uint32_t id);
  uint32_t any_value(const TileProgram& program);

  std::mt19937_64 generator_;
};

// Puts the checksum and the length of the payload right.
void seal(std::vector<std::byte>& bytes);

}  // namespace mtia::test
