"""Runs a workload on a device in functional mode and on one in timing mode and compares the accounts of all launches.

`python both_modes.py WORKLOAD` prints one JSON object: launches, different (a list of [name, functional, timing]),
seconds of both, and the timing device's summary. A process of its own, since modes are chosen before the first use.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
import workloads

FIELDS = ("name", "grid", "cycles", "instructions", "flops", "joules", "dram_bytes", "sram_bytes", "bytes")


def recorded(workload: Callable[[str], Any], device: str) -> list[dict[str, Any]]:
    """What a device did, command by command."""
    from mtia_sim import _C

    torch.manual_seed(7)
    torch.mtia_sim.manual_seed_all(7)
    recording = _C.TraceRecording([], [], 1 << 30)
    torch.mtia_sim.set_device(device)
    workload(device)
    torch.mtia_sim.synchronize(device)
    return list(recording.stop()["commands"])


def described(command: dict[str, Any]) -> list[Any]:
    """What both modes must agree on, to the bit."""
    return [command[field] for field in FIELDS]


def main(name: str) -> None:
    torch.mtia_sim.set_mode("timing", device=1)
    workload = getattr(workloads, name)
    both = [recorded(workload, f"mtia_sim:{index}") for index in (0, 1)]
    different = []
    for functional, timing in zip(*both, strict=False):
        pair = [described(command) for command in (functional, timing)]
        if pair[0] != pair[1]:
            different.append(pair)
    seconds = [sum(command["end"] - command["work_start"] for command in commands) for commands in both]
    result = {
        "commands": [len(commands) for commands in both],
        "different": different[:20],
        "number_different": len(different),
        "seconds": seconds,
        "summary": torch.mtia_sim.timing_summary(1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1])
