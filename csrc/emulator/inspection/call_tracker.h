// Follows NaNs and infinities through the calls of a C++ kernel, from the one that made them to the store that writes
// them to memory.
#pragma once

#include <map>
#include <mutex>
#include <optional>
#include <string>
#include <string_view>
#include <vector>

#include "emulator/inspection/call_observer.h"

namespace mtia::emulator {

class CallTracker : public CallObserver {
 public:
  // `has_roles`: calls are made by roles, which know their source lines.
  CallTracker(std::string_view kernel, bool has_roles, uint32_t pes, const NonFiniteRules& rules)
      : kernel_(kernel), has_roles_(has_roles), rules_(rules), pes_(pes) {}

  void before(const PeState& pe, std::string_view call, const Dependence& dependence,
              std::initializer_list<CallInput> inputs) override;
  void after(const PeState& pe, const Tile& result) override;
  void pack(const PeState& pe, const Tile& source, const std::byte* packed) override;
  void store(const PeState& pe, const Tile& source) override;

  // What made the first value that the lowest PE stored; nothing where no call of this launch did. After the launch.
  std::optional<NonFiniteFinding> finding() const;

 private:
  static constexpr uint32_t none = UINT32_MAX;

  // Bytes of local memory that hold values which come from a finding.
  struct Stain {
    const std::byte* begin;
    const std::byte* end;
    uint32_t finding;
  };

  struct Pe {
    int64_t calls = 0;
    std::string call;
    Dependence dependence;
    std::vector<Elements> inputs;
    uint32_t inherited = none;
    std::vector<Stain> stains;
    std::map<const std::byte*, Elements> packed;
    std::vector<NonFiniteFinding> findings;
    std::optional<uint32_t> stored;
  };

  static uint32_t stain_of(const Pe& pe, const Tile& tile);
  static void set_stain(Pe& pe, const Tile& tile, uint32_t finding);
  // The number of a finding: of the call at work, whose inputs do not explain an element of its result.
  uint32_t keep_finding(const PeState& state, Pe& pe, const Elements& result, uint64_t element) const;

  std::string kernel_;
  bool has_roles_;
  NonFiniteRules rules_;
  std::vector<Pe> pes_;  // each is used by the one thread that runs its PE
};

}  // namespace mtia::emulator
