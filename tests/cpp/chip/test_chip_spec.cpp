// ChipSpec refuses every malformed text with the field, its value and its range, and reads back what it writes.
#include "chip/chip_spec.h"

#include <cstdio>
#include <set>
#include <string>

#include "base/error.h"
#include "test.h"

namespace {

using mtia::ChipField;
using mtia::ChipSpec;
using mtia::InvalidChip;

std::string text_of(double number) {
  char text[32];
  std::snprintf(text, sizeof(text), "%.17g", number);
  return text;
}

// A valid text: every field at its minimum, but for those that another field bounds.
std::string text_with(const std::string& field, const std::string& value) {
  std::string text = "name=smallest\n";
  for (const ChipField& row : mtia::chip_fields()) {
    const double number = row.name == "tdp_watts" ? 100 : row.name == "typical_watts" ? 50 : row.minimum;
    text += std::string(row.name) + "=" + (row.name == field ? value : text_of(number)) + "\n";
  }
  return text;
}

std::string error_of(const std::string& text) { return CHECK_THROWS(ChipSpec::parse(text, "my.toml"), InvalidChip); }

}  // namespace

TEST(field_names_are_unique_and_ranges_hold_something) {
  std::set<std::string_view> names;
  for (const ChipField& field : mtia::chip_fields()) {
    CHECK(names.insert(field.name).second);
    CHECK(field.minimum < field.maximum);
    CHECK(!field.summary.empty() && !field.unit.empty());
  }
}

TEST(reads_back_what_it_writes) {
  ChipSpec chip = ChipSpec::parse(text_with("", ""), "my.toml");
  chip.name = "other";
  chip.clock_hz = 1.9e9 / 3;
  chip.dram_bytes = 231928233984;
  CHECK(ChipSpec::parse(chip.serialise(), "again") == chip);
}

TEST(out_of_range_names_field_value_range_and_file) {
  const std::string message = error_of(text_with("pe_rows", "65"));
  CHECK_CONTAINS(message, "InvalidChip: my.toml: grid.pe_rows = 65 is out of range");
  CHECK_CONTAINS(message, "1 to 64");
}

TEST(not_a_number_is_refused) {
  CHECK_CONTAINS(error_of(text_with("clock_hz", "fast")), "clock_hz = fast is not a number");
  CHECK_CONTAINS(error_of(text_with("pe_rows", "2.5")), "pe_rows = 2.5 is not an integer");
  CHECK_CONTAINS(error_of(text_with("pe_rows", "-1")), "pe_rows = -1 is not an integer");
  CHECK_CONTAINS(error_of(text_with("clock_hz", "nan")), "clock_hz = nan is out of range");
  CHECK_CONTAINS(error_of(text_with("clock_hz", "")), "is not a number");
}

TEST(every_field_is_needed_once_and_no_other_is_allowed) {
  const std::string whole = text_with("", "");
  const size_t start = whole.find("dram_bytes=");
  CHECK_CONTAINS(error_of(whole.substr(0, start) + whole.substr(whole.find('\n', start) + 1)), "dram_bytes is missing");
  CHECK_CONTAINS(error_of(whole + "dram_bytes=1048576\n"), "dram_bytes is given twice");
  CHECK_CONTAINS(error_of(whole + "colour=1\n"), "no chip has a field colour");
  CHECK_CONTAINS(error_of(whole + "colour\n"), "has no '='");
}

TEST(fields_that_contradict_each_other_are_refused) {
  CHECK_CONTAINS(error_of(text_with("sram_cache_bytes", "2097152")), "exceeds sram_bytes = 1048576");
  CHECK_CONTAINS(error_of(text_with("leakage_watts", "60")),
                 "leakage_watts = 60 with dram_idle_watts and links_watts exceeds typical_watts = 50");
  std::string leaking = text_with("power_limit_watts", "5");
  leaking.replace(leaking.find("leakage_watts=0"), 15, "leakage_watts=9");
  CHECK_CONTAINS(error_of(leaking), "power_limit_watts = 5 does not exceed what the chip draws idle, 9 W");
  CHECK_CONTAINS(error_of(text_with("typical_watts", "200")), "exceeds tdp_watts = 100");
}
