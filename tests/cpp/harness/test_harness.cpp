// The harness must itself fail when it should: every check is tried in both directions.
#include <cstdint>
#include <limits>
#include <stdexcept>

#include "test.h"

using mtia::test::Failure;

TEST(checks_pass_on_what_holds) {
  CHECK(1 + 1 == 2);
  CHECK_EQ(uint8_t{200}, 200);
  CHECK_NEAR(1.0, 1.0 + 1e-9, 1e-8);
}

TEST(checks_fail_with_the_values_seen) {
  const std::string message = CHECK_THROWS(CHECK_EQ(uint8_t{3}, -4), Failure);
  CHECK_CONTAINS(message, "got 3 and -4");
  CHECK_CONTAINS(message, "test_harness.cpp:");
  CHECK_THROWS(CHECK(false), Failure);
  CHECK_THROWS(CHECK_NEAR(1.0, 2.0, 0.5), Failure);
  CHECK_THROWS(CHECK_NEAR(std::numeric_limits<double>::quiet_NaN(), 0.0, 1.0), Failure);
  CHECK_THROWS(CHECK_CONTAINS("abc", "d"), Failure);
}

TEST(unsigned_and_signed_compare_by_value) { CHECK_THROWS(CHECK_EQ(uint32_t{0xffffffff}, -1), Failure); }

TEST(a_missing_exception_is_a_failure) { CHECK_THROWS(CHECK_THROWS(1 + 1, std::runtime_error), Failure); }
