// Tells other processes, when they ask, what this one does with its devices: `python -m mtia_sim smi`.
#pragma once

#include <string>

namespace mtia::torch_backend {

// The state of the devices that this process uses, as a JSON object. Waits for no device.
std::string status_json();

// Answers every connection to a socket at `path` with status_json(), from a thread that sleeps while nobody asks. Once
// a process; where the socket cannot be made nobody can ask. Returns whether it answers.
bool serve_status(const std::string& path);

// Ends the thread and removes the socket. Does nothing where it does not run, and in a forked child.
void stop_serving_status() noexcept;

}  // namespace mtia::torch_backend
