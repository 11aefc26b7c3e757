"""Accounts in timing mode are those of functional mode, to the bit, launch by launch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

HERE = Path(__file__).parent
FEW = "4096"  # bytes: so that next to nothing of these small models is known


def compared(workload: str, *arguments: str, **environment: str) -> dict[str, Any]:
    """What both_modes.py says of a workload."""
    done = subprocess.run(
        [sys.executable, HERE / "both_modes.py", workload, *arguments],
        env={**os.environ, "MTIA_SIM_TIMING_KEPT_BYTES": FEW, **environment},
        cwd=HERE,
        capture_output=True,
        text=True,
        timeout=900,
    )
    assert done.returncode == 0, done.stderr[-3000:]
    result: dict[str, Any] = json.loads(done.stdout.splitlines()[-1])
    return result


@pytest.mark.parametrize(
    "workload",
    [
        "llama_float32",
        "llama_amp",
        "generation",
        pytest.param("llama_bfloat16", marks=pytest.mark.slow),
        pytest.param("llama_compiled", marks=pytest.mark.slow),
        pytest.param("gpt2", marks=pytest.mark.slow),
    ],
)
def test_a_model_takes_the_same(workload):
    result = compared(workload)
    assert result["commands"][0] == result["commands"][1] > 400
    assert result["number_different"] == 0, result["different"]
    assert result["summary"]["computed"] < result["summary"]["launches"]


def test_routing_that_is_not_known_takes_about_the_same():
    result = compared("mixtral", MTIA_SIM_TIMING_KEPT_BYTES=str(4 << 20))
    functional, timing = result["cycles"]
    assert abs(timing - functional) < 0.02 * functional
    assert 0 < result["summary"]["stood_in"] < 0.15 * result["summary"]["launches"]


@pytest.mark.parametrize("chip", ["mtia300", "mtia2i", "mtia1"])
@pytest.mark.parametrize("workload", ["kernels", "ladders"])
@pytest.mark.slow
def test_kernels_take_the_same(workload, chip):
    result = compared(workload, MTIA_SIM_CHIP=chip)
    listed = {"row_sums", "embedding_forward", "index_elements", "nll_loss_forward"}
    names = {pair[0][0] for pair in result["different"]}
    assert names <= listed, result["different"]


def test_what_rests_on_stand_ins_is_counted():
    result = compared("decisions")
    assert result["summary"]["stood_in"] > 0 and result["summary"]["stand_in_seconds"] > 0
    functional, timing = result["cycles"]
    assert abs(timing - functional) < 0.25 * functional
