"""Child process of suite `launch`: how much longer the first training step takes than the ones after it.

python -m suites.first_step DEVICE DTYPE       prints one number, seconds
"""

import statistics
import sys
import time

import torch

from .training import BATCH, MODEL, SEQUENCE, training_step


def main(device_name: str, dtype: str) -> None:
    device = torch.device(device_name)
    step = training_step(device, MODEL, dtype, BATCH, SEQUENCE)
    seconds = []
    for _ in range(4):
        start = time.perf_counter()
        step().item()
        seconds.append(time.perf_counter() - start)
    # The second step still makes the optimiser's state warm, so only the later ones count as steady.
    print(seconds[0] - statistics.median(seconds[2:]))


if __name__ == "__main__":
    main(*sys.argv[1:])
