// The fingerprint of the instruction set and the checksum of serialised programs.
#include "isa/opcode.h"

#include <array>
#include <string>

namespace mtia {
namespace {

constexpr std::array<uint32_t, 256> make_crc_table() {
  std::array<uint32_t, 256> table{};
  for (uint32_t byte = 0; byte < 256; ++byte) {
    uint32_t value = byte;
    for (int bit = 0; bit < 8; ++bit) value = (value & 1U) != 0 ? 0xEDB88320U ^ (value >> 1) : value >> 1;
    table[byte] = value;
  }
  return table;
}

constexpr std::array<uint32_t, 256> crc_table = make_crc_table();

}  // namespace

uint32_t crc32(const void* data, size_t bytes, uint32_t crc) {
  const auto* cursor = static_cast<const unsigned char*>(data);
  crc = ~crc;
  for (size_t i = 0; i < bytes; ++i) crc = crc_table[(crc ^ cursor[i]) & 0xFFU] ^ (crc >> 8);
  return ~crc;
}

uint32_t isa_fingerprint() {
  static const uint32_t fingerprint = [] {
    std::string names;
    for (const OpcodeInfo& info : opcode_table) names.append(info.mnemonic).append(",");
    return crc32(names.data(), names.size());
  }();
  return fingerprint;
}

}  // namespace mtia
