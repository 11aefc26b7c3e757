"""Collectives of two groups at once share a chip's links, and launches beside them its memory and PEs."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.distributed.ranks import run

# Prints chip times of two all_gathers, alone and at once, and of a stream of memory beside one.
AT_ONCE = """
import json
first, second = dist.new_group([0, 1]), dist.new_group([0, 1])
part = torch.empty(1 << 28, dtype=torch.uint8, device=DEVICE)
whole, other = (torch.empty(1 << 29, dtype=torch.uint8, device=DEVICE) for _ in range(2))
long, long_too = (torch.empty(1 << 31, dtype=torch.uint8, device=DEVICE) for _ in range(2))
found = {}

def measure(name, action):
    torch.mtia_sim.synchronize()
    dist.barrier()
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_perf_counters()
    action()
    torch.mtia_sim.synchronize()
    found[name] = torch.mtia_sim.perf_counters()["elapsed_seconds"]

def gather(group, out, asynchronous=False):
    return dist.all_gather_into_tensor(out, part, group=group, async_op=asynchronous)

def at_once():
    works = [gather(first, whole, True), gather(second, other, True)]
    for work in works:
        work.wait()

def beside():
    work = gather(first, whole, True)
    torch.add(long, 1, out=long_too)
    work.wait()

measure("alone", lambda: gather(first, whole))
measure("at once", at_once)
measure("addition alone", lambda: torch.add(long, 1, out=long_too))
measure("addition beside", beside)
print("FOUND", json.dumps(found))
"""


@pytest.mark.parametrize("chip", ["mtia300", pytest.param("h100", marks=pytest.mark.slow)])
def test_what_is_at_once_shares(tmp_path: Path, chip: str) -> None:
    ranks: list[dict[str, Any]] = []
    for printed in run(AT_ONCE, 2, tmp_path, MTIA_SIM_MODE="timing", MTIA_SIM_CHIP=chip):
        line = next(line for line in printed.splitlines() if line.startswith("FOUND"))
        ranks.append(json.loads(line.removeprefix("FOUND")))
    assert ranks[0] == ranks[1]  # agreed upon
    found = ranks[0]
    assert found["at once"] == pytest.approx(2 * found["alone"], rel=0.03)
    slower = found["addition beside"] / found["addition alone"]
    assert 1.02 < slower < 1.5
    assert found["addition beside"] < 0.9 * (found["addition alone"] + found["alone"])
