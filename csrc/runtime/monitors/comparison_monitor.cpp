// The journal holds what lay in memory before, then the results of the chip while the twin runs.
#include "runtime/monitors/comparison_monitor.h"

#include <algorithm>
#include <cmath>
#include <cstring>
#include <set>

#include "base/error.h"
#include "emulator/inspection/elements.h"
#include "emulator/inspection/float64_twin.h"
#include "runtime/device.h"
#include "runtime/monitors/launch_watch.h"

namespace mtia::runtime {

using emulator::MemoryJournal;

namespace {

// Bits of a significand, the leading one included.
int precision_of(DType dtype) {
  switch (dtype) {
    case DType::F64:
      return 53;
    case DType::F32:
      return 24;
    case DType::F16:
      return 11;
    case DType::BF16:
      return 8;
    case DType::F8E4M3:
      return 4;
    default:
      return 3;
  }
}

struct Written {
  DType dtype;
  double chip;
  double reference;
};

}  // namespace

emulator::LaunchAccount ComparisonMonitor::run(Device& device, const emulator::Launch& launch) {
  // The project's own C++ kernels move data or draw random numbers where no operator stands around them.
  const bool is_own = launch.program == nullptr && launch.kernel->entry != nullptr;
  if (!enabled_ || is_own) return device.emulator().run(launch);
  KernelError error;
  error.launched_by = launcher_ ? launcher_() : "";
  if (launch.program == nullptr) {
    error.kernel = launch.kernel->name;
    error.skipped = "a C++ kernel has no float64 twin";
    const emulator::LaunchAccount account = device.emulator().run(launch);
    add(error);
    return account;
  }
  error.kernel = emulator::name_of(*launch.program);
  if (!journal_) journal_ = std::make_unique<MemoryJournal>(device.memory(), journal_bytes_);
  journal_->clear();
  const LaunchWatch watch(device.emulator(), journal_.get());
  const emulator::LaunchAccount account = device.emulator().run(launch);
  compare(device, launch, error);
  add(error);
  return account;
}

void ComparisonMonitor::add(KernelError error) {
  const std::lock_guard lock(mutex_);
  KernelError& sum = errors_[{error.kernel, error.launched_by}];
  error.calls += sum.calls;
  error.elements += sum.elements;
  error.sum_relative += sum.sum_relative;
  error.worst_relative = std::max(error.worst_relative, sum.worst_relative);
  error.worst_ulps = std::max(error.worst_ulps, sum.worst_ulps);
  sum = std::move(error);
}

void ComparisonMonitor::compare(Device& device, const emulator::Launch& launch, KernelError& error) {
  if (!journal_->complete()) {
    error.skipped = concat("it overwrites more than ", journal_bytes_, " bytes");
    return;
  }
  std::vector<std::vector<std::byte>> before;
  for (const MemoryJournal::Saved& page : journal_->saved())
    before.emplace_back(page.contents, page.contents + MemoryJournal::page_bytes);
  journal_->swap();
  try {
    auto& twin = twins_[launch.program];
    if (!twin) twin = emulator::float64_twin(*launch.program);
    emulator::Launch again = launch;
    again.program = twin;
    device.emulator().run(again);
  } catch (const Error& problem) {
    journal_->swap();
    error.skipped = problem.problem();
    return;
  } catch (...) {
    journal_->swap();
    throw;
  }
  std::vector<Written> written;
  std::set<std::string> dtypes;
  const std::vector<MemoryJournal::Saved> results = journal_->saved();
  for (size_t p = 0; p < before.size(); ++p) {
    const std::byte* reference = device.memory().backing_of(results[p].address);
    for (uint64_t offset = 0; offset < MemoryJournal::page_bytes;) {
      const auto dtype = journal_->written_dtype(results[p].address + offset);
      if (!dtype || !is_float(*dtype)) {
        offset += MemoryJournal::granule_bytes;
        continue;
      }
      const size_t size = size_of(*dtype);
      for (const uint64_t end = offset + MemoryJournal::granule_bytes; offset < end; offset += size) {
        const std::byte* old = before[p].data() + offset;
        const std::byte* chip = results[p].contents + offset;
        if (std::memcmp(old, chip, size) == 0 && std::memcmp(old, reference + offset, size) == 0) continue;
        written.push_back({*dtype, emulator::number_of(*dtype, chip), emulator::number_of(*dtype, reference + offset)});
        dtypes.emplace(name_of(*dtype));
      }
    }
  }
  journal_->swap();
  if (written.empty()) return;
  double difference = 0;
  double norm = 0;
  bool apart = false;  // one of the two is not finite
  for (const Written& element : written) {
    if (std::isfinite(element.chip) && std::isfinite(element.reference)) {
      difference += (element.chip - element.reference) * (element.chip - element.reference);
      norm += element.reference * element.reference;
    } else if (!(element.chip == element.reference || (std::isnan(element.chip) && std::isnan(element.reference)))) {
      apart = true;
    }
  }
  const double mean = std::sqrt(norm / static_cast<double>(written.size()));
  double ulps = 0;
  for (const Written& element : written) {
    const double scale = std::max(std::fabs(element.reference), mean);
    if (!std::isfinite(element.chip) || !std::isfinite(element.reference) || scale == 0) continue;
    const double unit = std::ldexp(1.0, std::ilogb(scale) + 1 - precision_of(element.dtype));
    ulps = std::max(ulps, std::fabs(element.chip - element.reference) / unit);
  }
  const double relative = apart ? HUGE_VAL : norm > 0 ? std::sqrt(difference / norm) : difference > 0 ? HUGE_VAL : 0.0;
  error.calls = 1;
  error.elements = written.size();
  error.worst_relative = error.sum_relative = relative;
  error.worst_ulps = ulps;
  for (const std::string& dtype : dtypes) error.dtypes += (error.dtypes.empty() ? "" : ", ") + dtype;
}

std::vector<KernelError> ComparisonMonitor::errors() const {
  const std::lock_guard lock(mutex_);
  std::vector<KernelError> all;
  for (const auto& [key, error] : errors_) all.push_back(error);
  return all;
}

}  // namespace mtia::runtime
