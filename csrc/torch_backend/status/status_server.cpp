// A thread behind a Unix socket, and the state it reports.
#include "torch_backend/status/status_server.h"

#include <poll.h>
#include <sys/eventfd.h>
#include <sys/socket.h>
#include <sys/un.h>
#include <unistd.h>

#include <cstring>
#include <memory>
#include <mutex>
#include <sstream>
#include <thread>

#include "chip/chip_spec.h"
#include "runtime/exchange_waits.h"
#include "runtime/runtime.h"
#include "torch_backend/memory/allocator.h"
#include "torch_backend/status/group_table.h"

namespace mtia::torch_backend {
namespace {

class Server {
 public:
  // Throws nothing; answers() says whether it worked.
  explicit Server(const std::string& path) : path_(path), process_(getpid()) {
    sockaddr_un address{};
    address.sun_family = AF_UNIX;
    if (path.size() >= sizeof(address.sun_path)) return;
    std::memcpy(address.sun_path, path.c_str(), path.size() + 1);
    listener_ = socket(AF_UNIX, SOCK_STREAM | SOCK_CLOEXEC | SOCK_NONBLOCK, 0);
    if (listener_ < 0) return;
    unlink(path.c_str());
    wake_ = eventfd(0, EFD_CLOEXEC);
    if (wake_ < 0 || bind(listener_, reinterpret_cast<const sockaddr*>(&address), sizeof(address)) != 0 ||
        listen(listener_, 8) != 0) {
      return;
    }
    thread_ = std::thread([this] { serve(); });
  }

  ~Server() {
    if (!is_ours()) {
      if (thread_.joinable()) thread_.detach();  // it stayed with the parent
      return;
    }
    if (thread_.joinable()) {
      const uint64_t one = 1;
      [[maybe_unused]] const ssize_t written = write(wake_, &one, sizeof(one));
      thread_.join();
      unlink(path_.c_str());
    }
    if (listener_ >= 0) close(listener_);
    if (wake_ >= 0) close(wake_);
  }

  Server(const Server&) = delete;
  Server& operator=(const Server&) = delete;

  bool answers() const { return thread_.joinable(); }
  // Whether it was made by this process, not by the one that it is forked from.
  bool is_ours() const { return getpid() == process_; }

 private:
  void serve() {
    pollfd waited[2] = {{listener_, POLLIN, 0}, {wake_, POLLIN, 0}};
    while (poll(waited, 2, -1) >= 0 || errno == EINTR) {
      if (waited[1].revents != 0) return;
      const int client = accept4(listener_, nullptr, nullptr, SOCK_CLOEXEC);
      if (client < 0) {
        poll(&waited[1], 1, 100);  // out of files, perhaps: not as fast as poll can
        continue;
      }
      // Nobody who stops reading may hold the thread.
      const timeval patience{1, 0};
      setsockopt(client, SOL_SOCKET, SO_SNDTIMEO, &patience, sizeof(patience));
      answer(client);
      close(client);
    }
  }

  static void answer(int client) {
    std::string text;
    try {
      text = status_json();
    } catch (...) {
      return;  // the devices are going
    }
    for (size_t sent = 0; sent < text.size();) {
      const ssize_t count = send(client, text.data() + sent, text.size() - sent, MSG_NOSIGNAL);
      if (count <= 0) return;
      sent += static_cast<size_t>(count);
    }
  }

  const std::string path_;
  const pid_t process_;
  int listener_ = -1;
  int wake_ = -1;
  std::thread thread_;
};

std::mutex server_mutex;
std::unique_ptr<Server>& server() {
  static auto* const instance = new std::unique_ptr<Server>;
  return *instance;
}

std::string quoted(const std::string& text) {
  std::string result = "\"";
  for (const char letter : text) {
    if (letter == '"' || letter == '\\') result += '\\';
    if (static_cast<unsigned char>(letter) >= ' ') result += letter;
  }
  return result + '"';
}

void write_groups(std::ostream& out) {
  const char* separator = "";
  for (const GroupStatus& group : group_statuses()) {
    out << separator << "{\"name\": " << quoted(group.name) << ", \"description\": " << quoted(group.description)
        << ", \"rank\": " << group.rank << ", \"size\": " << group.size << "}";
    separator = ", ";
  }
}

void write_device(std::ostream& out, runtime::Device& device) {
  const auto stats = caching_allocator(static_cast<c10::DeviceIndex>(device.index())).stats();
  const runtime::Counters counters = device.lifetime_counters();
  const emulator::LaunchAccount& total = counters.total;
  out << "{\"index\": " << device.index() << ", \"allocated_bytes\": " << stats.allocated_bytes[0].current
      << ", \"reserved_bytes\": " << stats.reserved_bytes[0].current
      << ", \"peak_allocated_bytes\": " << stats.allocated_bytes[0].peak
      << ", \"total_bytes\": " << device.memory().capacity() << ", \"chip_seconds\": " << device.chip_seconds()
      << ", \"grid_seconds\": " << total.seconds << ", \"host_link_seconds\": " << counters.host_link_seconds
      << ", \"dispatcher_seconds\": " << device.dispatcher_seconds() << ", \"launches\": " << total.launches
      << ", \"copies\": " << counters.copies << ", \"flops\": " << total.flops << ", \"joules\": " << total.joules
      << ", \"dram_bytes\": " << total.bytes.dram_read + total.bytes.dram_written
      << ", \"queued\": " << device.submitted() - device.completed();
  const runtime::ExchangeWaits waits = runtime::exchange_waits(device.index());
  out << ", \"collectives\": " << counters.collectives << ", \"collective_seconds\": " << counters.collective_seconds
      << ", \"waited_chip_seconds\": " << waits.chip_seconds << ", \"waited_host_seconds\": " << waits.host_seconds
      << ", \"waiting_for\": " << quoted(waits.waiting_for) << ", \"waiting_seconds\": " << waits.since_seconds << "}";
}

}  // namespace

std::string status_json() {
  std::ostringstream out;
  out.precision(17);
  const ChipSpec& chip = runtime::chip();
  out << "{\"pid\": " << getpid() << ", \"host_seconds\": " << static_cast<double>(runtime::host_clock()) * 1e-9
      << ", \"chip\": \"" << chip.name << "\", \"processing_elements\": " << chip.pe_count()
      << ", \"typical_watts\": " << chip.typical_watts << ", \"devices\": [";
  const char* separator = "";
  for (int index = 0; index < runtime::device_count(); ++index) {
    runtime::Device* device = runtime::device_if_made(index);
    if (device == nullptr) continue;
    out << separator;
    write_device(out, *device);
    separator = ", ";
  }
  out << "], \"groups\": [";
  write_groups(out);
  out << "]}";
  return out.str();
}

bool serve_status(const std::string& path) {
  const std::lock_guard lock(server_mutex);
  if (server() == nullptr || !server()->is_ours()) server() = std::make_unique<Server>(path);
  return server()->answers();
}

void stop_serving_status() noexcept {
  if (runtime::is_in_bad_fork()) return;
  const std::lock_guard lock(server_mutex);
  server().reset();
}

}  // namespace mtia::torch_backend
