// Parsing, checking and writing of ChipSpec.
#include "chip/chip_spec.h"

#include <charconv>
#include <cstdio>
#include <map>
#include <sstream>

#include "base/error.h"

namespace mtia {
namespace {

using Values = std::map<std::string, std::string, std::less<>>;

// Twelve digits: enough for every capacity, short for every rate.
std::string text_of(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.12g", number);
  return text;
}

std::string range_of(const ChipField& field) {
  return concat(text_of(field.minimum), " to ", text_of(field.maximum),
                field.unit == "1" ? "" : concat(" ", field.unit));
}

[[noreturn]] void reject(const ChipField& field, std::string_view value, std::string_view problem,
                         std::string_view where) {
  throw InvalidChip(concat(field.group, ".", field.name, " = ", value, " ", problem), std::string(where),
                    concat("give ", field.is_integer ? "an integer" : "a number", " of ", range_of(field)));
}

template <typename T>
T parse_number(const ChipField& field, std::string_view text, std::string_view where) {
  T value{};
  const auto [end, error] = std::from_chars(text.data(), text.data() + text.size(), value);
  if (error != std::errc() || end != text.data() + text.size()) {
    reject(field, text, field.is_integer ? "is not an integer" : "is not a number", where);
  }
  return value;
}

template <typename T>
void check_range(const ChipField& field, T value, std::string_view where) {
  const auto number = static_cast<double>(value);
  if (!(number >= field.minimum && number <= field.maximum)) {
    reject(field, text_of(number), "is out of range", where);
  }
}

Values split_lines(std::string_view text, std::string_view where) {
  Values values;
  while (!text.empty()) {
    const size_t end = text.find('\n');
    const std::string_view line = text.substr(0, end);
    text = end == std::string_view::npos ? std::string_view() : text.substr(end + 1);
    if (line.empty()) continue;
    const size_t equals = line.find('=');
    if (equals == std::string_view::npos) {
      throw InvalidChip(concat("the line '", line, "' has no '='"), std::string(where), "write name=value");
    }
    const auto [place, is_new] = values.emplace(line.substr(0, equals), line.substr(equals + 1));
    if (!is_new) {
      throw InvalidChip(concat("the field ", place->first, " is given twice"), std::string(where), "keep one of them");
    }
  }
  return values;
}

std::string take(Values& values, std::string_view name, std::string_view where, bool is_optional = false) {
  const auto place = values.find(name);
  if (place == values.end()) {
    if (is_optional) return "0";
    throw InvalidChip(concat("the field ", name, " is missing"), std::string(where),
                      "csrc/chip/chip_fields.def lists all fields");
  }
  std::string value = std::move(place->second);
  values.erase(place);
  return value;
}

const ChipField& field_named(std::string_view name) {
  for (const ChipField& field : chip_fields()) {
    if (field.name == name) return field;
  }
  throw InternalError(concat("chip_fields.def has no row ", name));
}

}  // namespace

const std::vector<ChipField>& chip_fields() {
  constexpr bool integer = true;
  constexpr bool real = false;
  static const std::vector<ChipField> fields = {
#define CHIP_FIELD(group, field, type, unit, minimum, maximum, summary) \
  {#group, #field, type, unit, minimum, maximum, summary},
#include "chip/chip_fields.def"
#undef CHIP_FIELD
  };
  return fields;
}

ChipSpec ChipSpec::parse(std::string_view text, std::string_view where) {
  Values values = split_lines(text, where);
  ChipSpec chip;
  chip.name = take(values, "name", where);
#define CHIP_FIELD(group, field, type, unit, minimum, maximum, summary) \
  chip.field = parse_number<decltype(chip.field)>(                      \
      field_named(#field), take(values, #field, where, std::string_view(#group) == "host"), where);
#include "chip/chip_fields.def"
#undef CHIP_FIELD
  if (!values.empty()) {
    throw InvalidChip(concat("no chip has a field ", values.begin()->first), std::string(where),
                      "csrc/chip/chip_fields.def lists all fields");
  }
  chip.validate(where);
  return chip;
}

void ChipSpec::validate(std::string_view where) const {
  if (name.empty()) throw InvalidChip("the chip has no name", std::string(where), "give name = \"...\"");
#define CHIP_FIELD(group, field, type, unit, minimum, maximum, summary) check_range(field_named(#field), field, where);
#include "chip/chip_fields.def"
#undef CHIP_FIELD
  if (sram_cache_bytes > sram_bytes) {
    reject(field_named("sram_cache_bytes"), concat(sram_cache_bytes), concat("exceeds sram_bytes = ", sram_bytes),
           where);
  }
  if (idle_watts() > typical_watts) {
    reject(field_named("leakage_watts"), text_of(leakage_watts),
           concat("with dram_idle_watts and links_watts exceeds typical_watts = ", text_of(typical_watts)), where);
  }
  if (power_limit_watts > 0 && power_limit_watts <= idle_watts()) {
    reject(field_named("power_limit_watts"), text_of(power_limit_watts),
           concat("does not exceed what the chip draws idle, ", text_of(idle_watts()), " W"), where);
  }
  if (typical_watts > tdp_watts) {
    reject(field_named("typical_watts"), text_of(typical_watts), concat("exceeds tdp_watts = ", text_of(tdp_watts)),
           where);
  }
}

std::string ChipSpec::serialise() const {
  std::ostringstream text;
  text.precision(17);
  text << "name=" << name << '\n';
#define CHIP_FIELD(group, field, type, unit, minimum, maximum, summary) text << #field << '=' << field << '\n';
#include "chip/chip_fields.def"
#undef CHIP_FIELD
  return text.str();
}

}  // namespace mtia
