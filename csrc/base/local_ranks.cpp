// Reads LOCAL_RANK and LOCAL_WORLD_SIZE.
#include "base/local_ranks.h"

#include <charconv>
#include <cstdlib>
#include <cstring>
#include <optional>

namespace mtia {
namespace {

std::optional<int> number(const char* variable) {
  const char* text = std::getenv(variable);
  if (text == nullptr) return std::nullopt;
  const char* end = text + std::strlen(text);
  int value = 0;
  const auto [rest, failure] = std::from_chars(text, end, value);
  if (failure != std::errc{} || rest != end || value < 0) return std::nullopt;
  return value;
}

}  // namespace

LocalRanks local_ranks() {
  const std::optional<int> rank = number("LOCAL_RANK"), size = number("LOCAL_WORLD_SIZE");
  if (!rank.has_value() || !size.has_value() || *rank >= *size) return {};
  return {*rank, *size};
}

}  // namespace mtia
