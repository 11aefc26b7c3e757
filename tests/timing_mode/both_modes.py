"""Runs a workload on a device in functional mode and on one in timing mode and compares the accounts of all launches.

`python both_modes.py WORKLOAD [LAW]` prints one JSON object: how many commands each mode had, which differ, the seconds
of both, and the timing device's summary. A process of its own, since modes are chosen before the first use. LAW: the
probability that stands in for unknown conditions.
"""

import json
import sys
from collections.abc import Callable
from typing import Any

import torch
import workloads

FIELDS = ("name", "grid", "cycles", "instructions", "flops", "joules", "dram_bytes", "sram_bytes", "bytes")


def recorded(workload: Callable[[str], Any], index: int) -> list[dict[str, Any]]:
    """What a device did, command by command."""
    from mtia_sim import _C

    torch.mtia_sim.set_device(index)
    if workload is workloads.llama_compiled:  # the first time, Inductor tries what is fastest
        workload(f"mtia_sim:{index}")
        torch._dynamo.reset()
    torch.manual_seed(7)
    torch.mtia_sim.manual_seed_all(7)
    torch.mtia_sim.flush_cache()
    torch.mtia_sim.reset_perf_counters(index)
    recording = _C.TraceRecording([], [], 1 << 30)
    workload(f"mtia_sim:{index}")
    torch.mtia_sim.synchronize(index)
    return list(recording.stop()["commands"])


def described(command: dict[str, Any]) -> list[Any]:
    """What both modes must agree on, to the bit."""
    return [command[field] for field in FIELDS]


def main(name: str, mask: float) -> None:
    torch.mtia_sim.set_mode("timing", device=1)
    torch.mtia_sim.timing_values(mask=mask, device=1)
    both = [recorded(getattr(workloads, name), index) for index in (0, 1)]
    pairs = [[described(command) for command in pair] for pair in zip(*both, strict=False)]
    different = [pair for pair in pairs if pair[0] != pair[1]]
    result = {
        "commands": [len(commands) for commands in both],
        "different": different[:10],
        "number_different": len(different) + abs(len(both[0]) - len(both[1])),
        "cycles": [sum(command["cycles"] for command in commands) for commands in both],
        "summary": torch.mtia_sim.timing_summary(1),
    }
    print(json.dumps(result))


if __name__ == "__main__":
    main(sys.argv[1], float(sys.argv[2]) if len(sys.argv) > 2 else 0.5)
