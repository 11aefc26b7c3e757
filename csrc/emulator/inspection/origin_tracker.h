// Follows NaNs and infinities through the instructions of a launch, from the one that made them to the store that
// writes them to memory.
#pragma once

#include <cstdint>
#include <optional>
#include <vector>

#include "emulator/inspection/instruction_observer.h"
#include "emulator/inspection/non_finite.h"

namespace mtia::emulator {

// What the kernel's source calls the values of one running program.
class CurrentNames {
 public:
  explicit CurrentNames(const TileProgram& program);
  // After the instruction at `index` ran.
  void advance(const TileProgram& program, uint32_t index);
  const std::string& of(uint32_t value) const { return names_[value]; }

 private:
  std::vector<std::string> names_;
  std::vector<uint32_t> first_;  // by instruction: its first entry in program.names
};

class OriginTracker : public InstructionObserver {
 public:
  explicit OriginTracker(const NonFiniteRules& rules) : rules_(rules) {}

  void begin_launch(uint32_t pes) override;
  void before(const Step& step) override;
  void after(const Step& step) override;

  // What made the first value that a store wrote, in program order; nothing where no arithmetic of this launch did.
  const std::optional<NonFiniteFinding>& finding() const { return finding_; }

 private:
  static constexpr uint32_t none = UINT32_MAX;

  struct Pe {
    std::optional<std::array<uint32_t, 3>> program;
    std::optional<CurrentNames> names;
    std::vector<uint32_t> of_slot;   // the finding that its contents come from
    std::vector<uint32_t> of_value;  // the same of scalars
    std::vector<Elements> inputs;    // of the instruction at work
    uint32_t inherited = none;
  };

  uint32_t& origin(Pe& pe, const TileProgram& program, uint32_t value);
  Elements read(const Step& step, const Pe& pe, uint32_t value) const;
  void check_result(const Step& step, Pe& pe, uint32_t value, const Dependence& dependence);
  void check_store(const Step& step, Pe& pe, uint32_t stored);

  NonFiniteRules rules_;
  std::vector<Pe> pes_;
  std::vector<NonFiniteFinding> findings_;
  std::optional<NonFiniteFinding> finding_;
};

}  // namespace mtia::emulator
