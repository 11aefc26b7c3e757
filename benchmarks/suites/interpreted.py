"""Child process of suite `triton`: time of a plain kernel under Triton's interpreter, on CPU tensors.

TRITON_INTERPRET=1 python -m suites.interpreted NAME SECONDS CLOCK     prints one number, seconds a launch
"""

import sys
import time

import torch

from .measure import check
from .plain import PLAIN


def main(name: str, seconds: float, clock: str) -> None:
    now = time.perf_counter if clock == "wall" else time.process_time
    plain = PLAIN[name]
    cpu = torch.device("cpu")
    call, expected = plain.launch(cpu), plain.reference(cpu)
    check(plain.case(), call(), expected())
    samples: list[float] = []
    while len(samples) < 3 or (sum(samples) < seconds and len(samples) < 20):
        start = now()
        call()
        samples.append(now() - start)
    print(min(samples))  # the interpreter's best time: what disturbs it must not flatter the device


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]), sys.argv[3])
