// Unix sockets that carry a descriptor of memory, and descriptors of processes.
#include "transport/neighbours.h"

#include <poll.h>
#include <sys/random.h>
#include <sys/socket.h>
#include <sys/stat.h>
#include <sys/syscall.h>
#include <sys/un.h>
#include <unistd.h>

#include <algorithm>
#include <cerrno>
#include <cstring>
#include <fstream>
#include <stdexcept>
#include <string_view>

#include "base/error.h"

namespace mtia::transport {
namespace {

[[noreturn]] void fail(std::string_view what) { throw std::runtime_error(concat(what, ": ", std::strerror(errno))); }

template <size_t N>
void put(std::array<char, N>& place, const std::string& text) {
  std::copy_n(text.begin(), std::min(text.size(), N - 1), place.begin());
}

// The running system, and its network's namespace, in which abstract names of sockets are looked up.
std::string host_identity() {
  std::string boot;
  std::ifstream("/proc/sys/kernel/random/boot_id") >> boot;
  struct stat network{};
  if (boot.empty() || stat("/proc/self/ns/net", &network) != 0) return {};
  return concat(boot, "/", network.st_ino);
}

std::string random_name() {
  std::array<unsigned char, 16> bytes{};
  if (getrandom(bytes.data(), bytes.size(), 0) != static_cast<ssize_t>(bytes.size())) fail("no random bytes");
  constexpr std::string_view digits = "0123456789abcdef";
  std::string name = "mtia_sim/";
  for (const unsigned char byte : bytes) {
    name += digits[byte / 16];
    name += digits[byte % 16];
  }
  return name;
}

// An abstract address begins with a zero and is as long as it is said to be.
socklen_t make_address(sockaddr_un& address, std::string_view name) {
  address = {};
  address.sun_family = AF_UNIX;
  std::copy(name.begin(), name.end(), address.sun_path + 1);
  return static_cast<socklen_t>(offsetof(sockaddr_un, sun_path) + 1 + name.size());
}

void wait_readable(int file, std::chrono::steady_clock::time_point deadline) {
  while (true) {
    const auto left =
        std::chrono::duration_cast<std::chrono::milliseconds>(deadline - std::chrono::steady_clock::now());
    pollfd watched{file, POLLIN, 0};
    const int ready = poll(&watched, 1, static_cast<int>(std::clamp<int64_t>(left.count(), 0, 1 << 30)));
    if (ready > 0) return;
    if (ready < 0 && errno != EINTR) fail("cannot wait for another rank of this host");
    if (ready == 0) throw std::runtime_error("another rank of this host did not call in time");
  }
}

// A number and a descriptor in one message.
struct Handover {
  uint64_t number = 0;
  iovec bytes{&number, sizeof number};
  alignas(cmsghdr) std::array<char, CMSG_SPACE(sizeof(int))> control{};
  msghdr message{};

  Handover() {
    message.msg_iov = &bytes;
    message.msg_iovlen = 1;
    message.msg_control = control.data();
    message.msg_controllen = control.size();
  }
  Handover(const Handover&) = delete;
  Handover& operator=(const Handover&) = delete;
};

void hand_over(int connection, uint64_t number, int file) {
  Handover handover;
  handover.number = number;
  cmsghdr* header = CMSG_FIRSTHDR(&handover.message);
  header->cmsg_level = SOL_SOCKET;
  header->cmsg_type = SCM_RIGHTS;
  header->cmsg_len = CMSG_LEN(sizeof(int));
  std::memcpy(CMSG_DATA(header), &file, sizeof file);
  if (sendmsg(connection, &handover.message, MSG_NOSIGNAL) != static_cast<ssize_t>(sizeof number))
    fail("cannot hand memory to another rank of this host");
}

FileDescriptor take_over(int connection, uint64_t& number, std::chrono::steady_clock::time_point deadline) {
  wait_readable(connection, deadline);
  Handover handover;
  if (recvmsg(connection, &handover.message, MSG_CMSG_CLOEXEC) != static_cast<ssize_t>(sizeof number))
    throw std::runtime_error("another rank of this host went away while the group was made");
  number = handover.number;
  const cmsghdr* header = CMSG_FIRSTHDR(&handover.message);
  if (header == nullptr || header->cmsg_type != SCM_RIGHTS)
    throw std::runtime_error("another rank of this host sent no memory");
  int file = -1;
  std::memcpy(&file, CMSG_DATA(header), sizeof file);
  return FileDescriptor(file);
}

ucred credentials_of(int connection) {
  ucred other{};
  socklen_t length = sizeof other;
  if (getsockopt(connection, SOL_SOCKET, SO_PEERCRED, &other, &length) != 0) fail("cannot tell who called");
  return other;
}

}  // namespace

Doorway::Doorway() : socket_(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0)) {
  const std::string name = random_name();
  sockaddr_un address;
  const socklen_t length = make_address(address, name);
  if (!socket_ || bind(socket_.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0 ||
      listen(socket_.get(), 4096) != 0)
    fail("no socket for ranks of this host");
  put(card_.host, host_identity());
  put(card_.address, name);
}

Neighbour::Neighbour(FileDescriptor connection, SharedMemory memory)
    : connection_(std::move(connection)), memory_(std::move(memory)) {
  // Of a process in another namespace of processes the number is 0.
  const pid_t process = credentials_of(connection_.get()).pid;
  if (process > 0) process_ = FileDescriptor(static_cast<int>(syscall(SYS_pidfd_open, process, 0)));
}

Neighbour::State Neighbour::state() const {
  std::array<pollfd, 2> watched{{{connection_.get(), POLLIN, 0}, {process_.get(), POLLIN, 0}}};
  if (poll(watched.data(), watched.size(), 0) <= 0) return State::here;
  if (watched[1].revents != 0) return State::ended;
  return watched[0].revents != 0 ? State::left : State::here;
}

std::vector<Neighbour> meet_neighbours(const Doorway& door, std::span<const Card> cards, size_t own,
                                       const SharedMemory& memory, size_t bytes, std::chrono::milliseconds timeout) {
  const auto deadline = std::chrono::steady_clock::now() + timeout;
  std::vector<FileDescriptor> calls(own);
  for (size_t other = 0; other < own; ++other) {
    FileDescriptor& call = calls[other];
    call = FileDescriptor(socket(AF_UNIX, SOCK_SEQPACKET | SOCK_CLOEXEC, 0));
    sockaddr_un address;
    const socklen_t length = make_address(address, cards[other].address.data());
    if (!call || connect(call.get(), reinterpret_cast<const sockaddr*>(&address), length) != 0)
      fail("cannot call another rank of this host");
    hand_over(call.get(), own, memory.file());
  }
  std::vector<Neighbour> found(cards.size());
  for (size_t behind = own + 1; behind < cards.size();) {
    wait_readable(door.file(), deadline);
    FileDescriptor call(accept4(door.file(), nullptr, nullptr, SOCK_CLOEXEC));
    if (!call) fail("cannot be called by another rank of this host");
    if (credentials_of(call.get()).uid != geteuid()) continue;  // a stranger
    uint64_t other = 0;
    FileDescriptor file = take_over(call.get(), other, deadline);
    if (other <= own || other >= cards.size()) throw std::runtime_error(concat("a call of rank ", other));
    hand_over(call.get(), own, memory.file());
    found[other] = Neighbour(std::move(call), SharedMemory(std::move(file), bytes));
    ++behind;
  }
  for (size_t other = 0; other < own; ++other) {
    uint64_t number = 0;
    FileDescriptor file = take_over(calls[other].get(), number, deadline);
    found[other] = Neighbour(std::move(calls[other]), SharedMemory(std::move(file), bytes));
  }
  return found;
}

}  // namespace mtia::transport
