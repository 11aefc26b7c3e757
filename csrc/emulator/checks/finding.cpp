// Texts of findings.
#include "emulator/checks/finding.h"

namespace mtia::emulator {

std::string describe_tuple(const std::vector<int64_t>& values) {
  std::string text = "(";
  for (size_t i = 0; i < values.size(); ++i) text += concat(i == 0 ? "" : ", ", values[i]);
  return text + (values.size() == 1 ? ",)" : ")");
}

std::string describe_tensor(const std::string& name, const std::vector<int64_t>& sizes) {
  return concat(name, " of shape ", describe_tuple(sizes));
}

std::string Finding::where() const {
  if (!has_program) return concat(line, line.empty() ? "" : ", ", kernel, launched.empty() ? "" : " at ", launched);
  std::string text = concat("kernel ", kernel);
  if (is_tile_program) text += concat(", program (", program[0], ", ", program[1], ", ", program[2], ")");
  if (!role.empty()) text += concat(", role ", role);
  text += concat(" on PE ", pe);
  if (!line.empty()) text += ", " + line;
  if (instruction >= 0) text += concat(", instruction ", instruction, " `", disassembly, "`");
  if (!launched.empty()) text += ", launched at " + launched;
  return text;
}

std::string Finding::text() const { return before.empty() ? problem : concat(problem, "; ", before); }

void throw_finding(const Finding& finding, size_t others) {
  const CheckInfo& info = info_of(finding.check);
  std::string problem = finding.text();
  if (others != 0) problem += concat(" (and ", others, " more: torch.mtia_sim.findings())");
  throw_error(info.category, problem, finding.where(), std::string(info.remedy));
}

}  // namespace mtia::emulator
