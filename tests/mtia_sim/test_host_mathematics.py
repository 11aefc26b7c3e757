"""What a script computes on the CPU before it goes to the device is the same in every process."""

import hashlib
import os
import subprocess
import sys
from collections import Counter

PROCESSES = 200


def digests_of_fresh_processes() -> Counter[str]:
    """Digests of tables that PROCESSES processes computed, each as its first work on several threads.

    They are forks of one process that imported torch and computed nothing, so that each is as good as fresh.
    """
    environment = {**os.environ, "OMP_NUM_THREADS": "2"}
    run = subprocess.run(
        [sys.executable, __file__, str(PROCESSES)], env=environment, capture_output=True, text=True, check=True
    )
    return Counter(run.stdout.split())


def test_first_threaded_tables_are_the_same_in_every_process() -> None:
    digests = digests_of_fresh_processes()
    assert digests.total() == PROCESSES
    assert len(digests) == 1, digests


def compute(processes: int) -> None:
    import torch

    for _ in range(processes):
        sys.stdout.flush()
        child = os.fork()
        if child == 0:
            positions = torch.arange(256.0)[:, None] * 10000.0 ** (torch.arange(32.0) / -32)
            print(hashlib.sha256(positions.cos().numpy().tobytes()).hexdigest())
            sys.stdout.flush()
            os._exit(0)
        _, status = os.waitpid(child, 0)
        assert status == 0


if __name__ == "__main__":
    compute(int(sys.argv[1]))
