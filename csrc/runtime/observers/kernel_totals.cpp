// Joins what the submitting thread and the dispatcher tell of each command.
#include "runtime/observers/kernel_totals.h"

namespace mtia::runtime {
namespace {

thread_local uint32_t present_purpose = 0;

void add(KernelTotal& total, const KernelTotal& other) {
  total.count += other.count;
  total.seconds += other.seconds;
  total.account += other.account;
}

}  // namespace

void set_purpose(uint32_t purpose) { present_purpose = purpose; }

void KernelTotals::submitted(const Submission& submission) {
  if (submission.device != device_) return;
  const std::lock_guard lock(mutex_);
  if (const auto done = unclaimed_.find(submission.ticket); done != unclaimed_.end()) {
    add(totals_[{present_purpose, done->second.first}], done->second.second);
    unclaimed_.erase(done);
  } else {
    purposes_.emplace(submission.ticket, present_purpose);
  }
}

void KernelTotals::executed(const Execution& execution) {
  if (execution.device != device_) return;
  KernelTotal total;
  total.count = 1;
  total.seconds = execution.end - execution.start;
  total.account = execution.account;
  const std::lock_guard lock(mutex_);
  const auto purpose = purposes_.find(execution.ticket);
  if (purpose == purposes_.end()) {
    if (!execution.failed) unclaimed_.emplace(execution.ticket, std::pair(std::string(execution.name), total));
    return;
  }
  if (!execution.failed) add(totals_[{purpose->second, std::string(execution.name)}], total);
  purposes_.erase(purpose);
}

std::map<KernelTotals::Key, KernelTotal> KernelTotals::totals() const {
  const std::lock_guard lock(mutex_);
  std::map<Key, KernelTotal> all = totals_;
  for (const auto& [ticket, done] : unclaimed_) add(all[{0, done.first}], done.second);
  return all;
}

}  // namespace mtia::runtime
