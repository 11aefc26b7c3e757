"""A small Llama trains in timing mode on every chip that comes with mtia_sim, in plausible time and power."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips

HERE = Path(__file__).parent

STEPS = """
import json
import sys
import torch
import workloads

torch.mtia_sim.set_mode("timing")
workloads.llama_amp("mtia_sim")
torch.mtia_sim.synchronize()
totals = torch.mtia_sim.perf_counters()
print(json.dumps({"chip": torch.mtia_sim.get_device_name(0), **{key: totals[key] for key in sys.argv[1:]}}))
"""

# One of each kind; the others take as long again each.
QUICK = {"mi300x", "mtia400", "tpu_v5e"}


def steps(chip: str) -> dict[str, Any]:
    done = subprocess.run(
        [sys.executable, "-c", STEPS, "seconds", "joules", "dot_flops"],
        env={**os.environ, "MTIA_SIM_CHIP": chip, "MTIA_SIM_TIMING_KEPT_BYTES": "4096", "PYTHONPATH": str(HERE)},
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, f"{chip}: {done.stderr[-3000:]}"
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    "name", [pytest.param(name, marks=() if name in QUICK else pytest.mark.slow) for name in chips.names()]
)
def test_a_llama_trains(name: str) -> None:
    chip = chips.load(name)
    result = steps(name)
    assert result["chip"] == name
    # Three steps of 0.4 million weights, 128 tokens: the same work on every chip, but for blocks of attention.
    assert result["dot_flops"] == pytest.approx(1.1e9, rel=0.3)
    # Most of it is starting some 600 small launches.
    assert 100e-6 < result["seconds"] < 100e-3
    assert 0.99 * chip.idle_watts < result["joules"] / result["seconds"] < chip.tdp_watts
