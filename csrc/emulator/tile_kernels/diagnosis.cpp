// What a failed launch of a C++ kernel says: who waits for what, and where a fault happened.
#include <string>

#include "base/error.h"
#include "emulator/checks/access_log.h"
#include "emulator/tile_kernels/grid_run.h"

namespace mtia::emulator {
namespace {

std::string joined(const std::string& first, const std::string& second) {
  return first.empty() || second.empty() ? first + second : first + ", " + second;
}

}  // namespace

std::string GridRun::deadlock_report() const {
  constexpr uint32_t shown = 12;
  std::string text;
  uint32_t waiting = 0;
  for (uint32_t i = 0; i < count_; ++i) {
    for (const Role* role : grid_.pes[i]->roles) {
      if (role->state != RoleState::waiting || ++waiting > shown) continue;
      text += concat("\n  ", role->place(), ": ", role->operation);
      if (role->waits != WaitKind::pages) {
        text += between_.reason(*role);
      } else if (role->waits_for != nullptr) {
        text += concat(" of ", role->waits_for_pages, role->waits_for_pages == 1 ? " page of " : " pages of ",
                       role->waits_for->title(), ": ", role->waits_for->occupancy());
        const Role* other = role->waits_for->producer == role ? role->waits_for->consumer : role->waits_for->producer;
        if (role->waits_for->producer == role && other == nullptr) text += "; no role consumes it";
        if (role->waits_for->consumer == role && other == nullptr) text += "; no role produces it";
        if (other != nullptr && other->state == RoleState::finished)
          text += concat("; role ", other->name(), " has ended");
      }
      if (const std::string source = source_of(role->line); !source.empty()) text += concat("\n      ", source);
    }
  }
  if (waiting > shown) text += concat("\n  and ", waiting - shown, " more");
  return concat(waiting, waiting == 1 ? " role waits" : " roles wait", " and nothing can run:", text);
}

// With kernel, role, PE and source line.
std::exception_ptr GridRun::described(const Role* role, const PeContext& pe, std::exception_ptr error) const {
  const std::string place = role != nullptr ? role->place() : concat("PE ", pe.roles.front()->index);
  const std::string where = concat("kernel ", kernel_.name, ", ", place);
  try {
    std::rethrow_exception(error);
  } catch (const Error& caught) {
    try {
      throw_error(caught.category(), caught.problem(), joined(where, caught.where()), caught.remedy());
    } catch (...) {
      return std::current_exception();
    }
  } catch (const StoppedByCheck& stopped) {
    return stopped.error;
  } catch (const std::exception& caught) {
    return std::make_exception_ptr(
        LaunchFailure(concat("the kernel threw: ", caught.what()), where, "catch it in the kernel, or mend its cause"));
  } catch (...) {
    return std::make_exception_ptr(LaunchFailure("the kernel threw something that is no std::exception", where));
  }
}

}  // namespace mtia::emulator
