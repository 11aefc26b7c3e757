// How many processes of a job share this host, and which of them this is: what torchrun and its kin put into the
// environment.
#pragma once

namespace mtia {

struct LocalRanks {
  int rank = 0;  // LOCAL_RANK
  int size = 1;  // LOCAL_WORLD_SIZE, above rank
};

// What is no such pair of numbers counts as a job of one process: other programs may use these names.
LocalRanks local_ranks();

}  // namespace mtia
