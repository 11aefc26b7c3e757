// Whoever looks on while a C++ kernel calls the units of its PE.
#pragma once

#include <cstdint>
#include <initializer_list>
#include <optional>
#include <string_view>

#include "emulator/inspection/non_finite.h"
#include "emulator/pe/pe_state.h"
#include "emulator/pe/tile.h"

namespace mtia::emulator {

// An input of a call: one of these, or nothing.
struct CallInput {
  const Tile* tile = nullptr;
  const std::byte* packed = nullptr;  // known by the call that packed it
  std::optional<double> number = std::nullopt;
};

// Calls come from the worker threads: one thread a PE at a time.
class CallObserver {
 public:
  virtual ~CallObserver() = default;
  // Whether a PE is to run at all.
  virtual bool wants(uint32_t pe) const {
    (void)pe;
    return true;
  }
  virtual void before(const PeState&, std::string_view call, const Dependence&, std::initializer_list<CallInput>) {
    (void)call;
  }
  virtual void after(const PeState&, const Tile& result) { (void)result; }
  // `source` is packed to `packed`.
  virtual void pack(const PeState&, const Tile& source, const std::byte* packed) {
    (void)source;
    (void)packed;
  }
  // `source` is written to device memory.
  virtual void store(const PeState&, const Tile& source) { (void)source; }
};

// Tells of one call, from its construction to its end.
class CallNote {
 public:
  CallNote(const PeState& pe, std::string_view call, const Dependence& dependence, const Tile& result,
           std::initializer_list<CallInput> inputs)
      : pe_(pe), result_(result) {
    if (pe.calls != nullptr) pe.calls->before(pe, call, dependence, inputs);
  }
  ~CallNote() {
    if (pe_.calls != nullptr) pe_.calls->after(pe_, result_);
  }
  CallNote(const CallNote&) = delete;
  CallNote& operator=(const CallNote&) = delete;

 private:
  const PeState& pe_;
  const Tile& result_;
};

}  // namespace mtia::emulator
