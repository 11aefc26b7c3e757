// Matching, as MPI has it.
#include "transport/message_box.h"

#include <algorithm>
#include <cstring>

namespace mtia::transport {
namespace {

bool matches(const Awaited& awaited, const Arrival& arrival) {
  return awaited.tag == arrival.tag && (awaited.source == any_rank || awaited.source == arrival.message.source);
}

}  // namespace

AwaitedPointer MessageBox::await(int source, uint32_t tag) {
  auto awaited = std::make_shared<Awaited>(Awaited{source, tag, nullptr});
  const auto found = std::find_if(unexpected_.begin(), unexpected_.end(),
                                  [&](const ArrivalPointer& arrival) { return matches(*awaited, *arrival); });
  if (found == unexpected_.end()) {
    awaited_.push_back(awaited);
  } else {
    awaited->arrival = *found;
    unexpected_.erase(found);
  }
  return awaited;
}

void MessageBox::open(size_t source, uint32_t tag, const Envelope& envelope) {
  auto arrival = std::make_shared<Arrival>();
  arrival->tag = tag;
  arrival->message = {static_cast<int>(source), envelope, Buffer(envelope.is_known ? envelope.bytes : 0)};
  if (!arrival->is_complete()) open_[source] = arrival;
  const auto found = std::find_if(awaited_.begin(), awaited_.end(),
                                  [&](const AwaitedPointer& awaited) { return matches(*awaited, *arrival); });
  if (found == awaited_.end()) {
    unexpected_.push_back(std::move(arrival));
  } else {
    (*found)->arrival = std::move(arrival);
    awaited_.erase(found);
  }
}

void MessageBox::add(size_t source, std::span<const std::byte> bytes) {
  Arrival& arrival = *open_[source];
  std::memcpy(arrival.message.payload.span().data() + arrival.filled, bytes.data(), bytes.size());
  arrival.filled += bytes.size();
  if (arrival.is_complete()) open_[source].reset();
}

}  // namespace mtia::transport
