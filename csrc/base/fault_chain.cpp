// Links are only ever added, so that the handler reads them without a lock.
#include "base/fault_chain.h"

#include <array>
#include <atomic>
#include <cerrno>
#include <cstddef>
#include <mutex>
#include <utility>

namespace mtia {
namespace {

constexpr std::array chained_signals{SIGSEGV, SIGBUS, SIGFPE, SIGILL};
constexpr size_t most_links = 4;

struct Chain {
  std::array<std::atomic<FaultLink>, most_links> links{};
  std::atomic<size_t> count{0};
  // Handlers of others: the one that was there at first, and the one that was found in front of ours last, which may
  // pass what it does not know on to ours again.
  struct sigaction first{};
  struct sigaction former{};
  bool is_installed = false;
};

std::array<Chain, chained_signals.size()> chains;
std::mutex chains_mutex;
thread_local bool is_passing_on = false;

Chain* chain_of(int signal) {
  for (size_t i = 0; i < chained_signals.size(); ++i) {
    if (chained_signals[i] == signal) return &chains[i];
  }
  return nullptr;
}

void pass_on(const Chain& chain, int signal, siginfo_t* information, void* context) {
  const struct sigaction& next = is_passing_on ? chain.first : chain.former;
  const bool outer = !std::exchange(is_passing_on, true);
  if ((next.sa_flags & SA_SIGINFO) != 0) {
    next.sa_sigaction(signal, information, context);
  } else if (next.sa_handler != SIG_DFL && next.sa_handler != SIG_IGN) {
    next.sa_handler(signal);
  } else {
    // The instruction faults again, and ends the process as it would have without us.
    struct sigaction usual{};
    usual.sa_handler = SIG_DFL;
    sigaction(signal, &usual, nullptr);
    if (information->si_code <= 0) raise(signal);  // sent by kill(), so that it does not come again by itself
  }
  if (outer) is_passing_on = false;
}

void on_fault(int signal, siginfo_t* information, void* context) {
  const int error = errno;
  const Chain& chain = *chain_of(signal);
  for (size_t i = chain.count.load(std::memory_order_acquire); i-- > 0;) {
    if (chain.links[i].load(std::memory_order_relaxed)(signal, information, context)) {
      errno = error;
      return;
    }
  }
  pass_on(chain, signal, information, context);
}

// With the lock held.
void put_in_front(int signal, Chain& chain) {
  struct sigaction present{};
  sigaction(signal, nullptr, &present);
  if ((present.sa_flags & SA_SIGINFO) != 0 && present.sa_sigaction == &on_fault) return;
  if (!chain.is_installed) chain.first = present;
  chain.former = present;
  chain.is_installed = true;
  struct sigaction ours{};
  ours.sa_sigaction = &on_fault;
  ours.sa_flags = SA_SIGINFO | SA_NODEFER | SA_ONSTACK;
  sigemptyset(&ours.sa_mask);
  sigaction(signal, &ours, nullptr);
}

}  // namespace

void add_fault_link(int signal, FaultLink link) {
  Chain* chain = chain_of(signal);
  if (chain == nullptr) return;
  const std::lock_guard lock(chains_mutex);
  const size_t count = chain->count.load(std::memory_order_relaxed);
  bool is_known = count == most_links;
  for (size_t i = 0; i < count; ++i) is_known = is_known || chain->links[i].load(std::memory_order_relaxed) == link;
  if (!is_known) {
    chain->links[count].store(link, std::memory_order_relaxed);
    chain->count.store(count + 1, std::memory_order_release);
  }
  put_in_front(signal, *chain);
}

void renew_fault_chain() {
  const std::lock_guard lock(chains_mutex);
  for (size_t i = 0; i < chains.size(); ++i) {
    if (chains[i].is_installed) put_in_front(chained_signals[i], chains[i]);
  }
}

}  // namespace mtia
