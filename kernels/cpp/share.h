// Work that is dealt to the PEs of a launch in neighbouring parts, of equal size but for one item.
#pragma once

#include <algorithm>
#include <cstdint>

#include "emulator/pe/processing_element.h"

namespace mtia::kernels {

struct Share {
  int64_t begin;
  int64_t end;
};

inline Share share_of(const emulator::ProcessingElement& pe, int64_t total) {
  const int64_t share = total / pe.count(), rest = total % pe.count();
  const int64_t begin = pe.index() * share + std::min<int64_t>(pe.index(), rest);
  return {begin, begin + share + (pe.index() < rest ? 1 : 0)};
}

}  // namespace mtia::kernels
