#!/usr/bin/env python3
"""What checked mode costs a training step of the example's Llama: host time on and off in turn, and host memory.

python benchmarks/checked_mode.py [--dtype float32] [--clock processor] [--json FILE]
"""

import argparse
import json
import resource
import statistics
from pathlib import Path

import torch
from suites import training
from suites.measure import CLOCKS, sample


def parse_arguments() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__.splitlines()[0], formatter_class=argparse.ArgumentDefaultsHelpFormatter
    )
    parser.add_argument("--dtype", default="float32", choices=training.DTYPES)
    parser.add_argument("--model", default=training.MODEL, help="size of examples/train_llama.py")
    parser.add_argument("--rounds", type=int, default=5, help="steps measured with checked mode on, and as many off")
    parser.add_argument("--clock", default="wall", choices=CLOCKS, help="processor: CPU time, for a busy machine")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write the numbers to FILE")
    return parser.parse_args()


def peak_mebibytes() -> float:
    return resource.getrusage(resource.RUSAGE_SELF).ru_maxrss / 1024


def main() -> None:
    arguments = parse_arguments()
    device = torch.device("mtia_sim:0")
    step = training.training_step(device, arguments.model, arguments.dtype, training.BATCH, training.SEQUENCE)
    off: list[float] = []
    on: list[float] = []
    for _ in range(2):
        step()
    torch.mtia_sim.synchronize()
    memory_off = peak_mebibytes()
    for _ in range(arguments.rounds):
        step()  # as below: what is measured is the second step after the switch
        off.append(sample(step, device, 1, arguments.clock).seconds)
        with torch.mtia_sim.check():
            step()
            on.append(sample(step, device, 1, arguments.clock).seconds)
    found = torch.mtia_sim.findings()
    result = {
        "model": arguments.model,
        "dtype": arguments.dtype,
        "clock": arguments.clock,
        "off_ms": 1e3 * statistics.median(off),
        "on_ms": 1e3 * statistics.median(on),
        "ratio": statistics.median(on) / statistics.median(off),
        "peak_mebibytes_off": memory_off,
        "peak_mebibytes_on": peak_mebibytes(),
        "findings": len(found),
    }
    print(json.dumps(result, indent=1))
    if arguments.json:
        arguments.json.write_text(json.dumps(result, indent=1) + "\n")


if __name__ == "__main__":
    main()
