// Which transport a process group has: memory that ranks of one host share, Gloo between hosts.
#pragma once

#include <c10/util/intrusive_ptr.h>

#include <chrono>
#include <memory>

#include "transport/transport.h"

namespace c10d {
class Backend;
}

namespace mtia::torch_backend {

// `gloo` connects all ranks of the group, by which they also agree on the rest; every rank calls this. The
// environment's MTIA_SIM_TRANSPORT=gloo keeps a rank from sharing memory, =shared refuses to do without where ranks are
// on one host. Throws InvalidArgument for another value, CollectiveFailure where ranks cannot meet.
std::unique_ptr<transport::Transport> make_group_transport(c10::intrusive_ptr<c10d::Backend> gloo,
                                                           std::chrono::milliseconds timeout);

}  // namespace mtia::torch_backend
