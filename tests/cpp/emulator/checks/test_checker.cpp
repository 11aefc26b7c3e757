// Bounds of what checked mode keeps: records of a program, and findings.
#include <chrono>
#include <cstdint>
#include <string>
#include <vector>

#include "emulator/checks/checker.h"
#include "emulator/machine.h"
#include "test.h"

namespace {

using mtia::emulator::AccessKind;
using mtia::emulator::AccessLog;
using mtia::emulator::ByteRows;
using mtia::emulator::Check;
using mtia::emulator::Checker;
using mtia::emulator::Finding;
using mtia::emulator::Severity;

Finding finding(Check check, size_t number) {
  Finding made;
  made.check = check;
  made.problem = std::to_string(number);
  return made;
}

TEST(a_new_error_is_told_of_however_many_findings_came_before) {
  mtia::test::Machine machine;
  Checker checker(machine.emulator().memory(), 1);
  for (size_t i = 0; i < Checker::most_findings + 10; ++i) checker.report(finding(Check::between_rows, i));
  checker.report(finding(Check::out_of_bounds, 1));
  CHECK(checker.has_new(Severity::error));
  const std::vector<Finding> errors = checker.take(Severity::error);
  CHECK_EQ(errors.size(), size_t{1});
  CHECK_EQ(errors.front().problem, std::string("1"));
  CHECK_EQ(checker.finding_count(), uint64_t{Checker::most_findings + 11});
  CHECK_EQ(checker.findings().size(), Checker::most_findings);
  CHECK_EQ(checker.findings().front().problem, std::string("11"));
  // Those that were taken are not taken again, whatever has gone since.
  for (size_t i = 0; i < 5; ++i) checker.report(finding(Check::out_of_bounds, i + 2));
  CHECK_EQ(checker.take(Severity::error).size(), size_t{5});
  CHECK(checker.take(Severity::error).empty());
  CHECK_EQ(checker.take(Severity::warning).size(), Checker::most_findings - 6);
}

TEST(of_programs_side_by_side_the_first_in_the_grid_is_told_of) {
  mtia::test::Machine machine;
  Checker checker(machine.emulator().memory(), 4);
  const mtia::emulator::CppKernel kernel{"kernel", nullptr, 0};
  mtia::emulator::Launch launch;
  launch.kernel = &kernel;
  checker.begin_launch({}, launch);
  const auto report_of = [&](uint32_t pe) {
    AccessLog& log = checker.log_of(pe);
    log.begin(pe, {});
    checker.report(log, Check::between_rows, 0, 64, 4, "write", "");
  };
  for (const uint32_t pe : {2U, 3U, 1U}) report_of(pe);
  CHECK_EQ(checker.finding_count(), uint64_t{1});
  const std::vector<Finding> found = checker.take(Severity::warning);
  CHECK_EQ(found.size(), size_t{1});
  CHECK_EQ(found.front().pe, 1U);
  report_of(0);  // too late: the other has been told of
  CHECK(checker.take(Severity::warning).empty());
  CHECK_EQ(checker.findings().front().pe, 1U);
}

TEST(a_program_of_very_many_accesses_takes_no_longer_for_each) {
  mtia::test::Machine machine;
  mtia::emulator::DeviceMemory& memory = machine.emulator().memory();
  const uint64_t base = memory.allocate(uint64_t{1} << 24);
  Checker checker(memory, 1);
  mtia::emulator::Launch launch;
  checker.begin_launch({}, launch);
  AccessLog& log = checker.log_of(0);
  log.begin(0, {});
  const auto touch_all = [&] {
    ByteRows row;
    row.run = 4;
    for (uint64_t i = 0; i < 600'000; ++i) {
      row.base = base + i * 8;
      log.touch(AccessKind::read, 0, row);
    }
  };
  const auto begin = std::chrono::steady_clock::now();
  touch_all();
  // Sorting them for each access would take hours.
  CHECK(std::chrono::steady_clock::now() - begin < std::chrono::seconds(20));
  CHECK_EQ(log.records().size(), size_t{1} << 17);
  log.begin(1, {});
  CHECK(log.records().empty());
}

}  // namespace
