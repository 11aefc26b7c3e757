"""Accounts in timing mode are those of functional mode, to the bit, launch by launch."""

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

pytestmark = pytest.mark.unchecked(reason="checks look at values, which timing mode does not compute")
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


def test_a_scaled_step_of_a_fused_optimizer_is_made():
    result = compared("scaled_steps", MTIA_SIM_TIMING_KEPT_BYTES=str(128 << 10))
    assert result["number_different"] == 0, result["different"]
    assert result["summary"]["stood_in"] >= 2


def test_routing_that_is_known_takes_the_same():
    result = compared("mixtral", MTIA_SIM_TIMING_KEPT_BYTES=str(4 << 20))
    assert result["number_different"] == 0 and result["summary"]["stood_in"] == 0, result["different"]


@pytest.mark.slow
def test_routing_that_is_not_known_takes_about_the_same():
    result = compared("mixtral", MTIA_SIM_TIMING_KEPT_BYTES=str(512 << 10))
    functional, timing = result["cycles"]
    assert abs(timing - functional) < 0.02 * functional
    assert 0 < result["summary"]["stood_in"] < 0.15 * result["summary"]["launches"]


# They do what values decide, and what follows them works on as many elements as these select.
DECIDED = {"row_sums", "embedding_forward", "index_elements", "nll_loss_forward", "sort", "merge_runs", "search"}
DECIDED |= {"count_flags", "take_flagged"}


@pytest.mark.parametrize(
    ("workload", "chip"),
    # The ladders' tiles are larger than what a PE of mtia1 has.
    [
        ("kernels", "mtia300"),
        ("kernels", "mtia2i"),
        ("kernels", "mtia1"),
        ("ladders", "mtia300"),
        ("ladders", "mtia2i"),
        ("quantised", "mtia300"),
    ],
)
@pytest.mark.slow
def test_kernels_take_the_same(workload, chip):
    result = compared(workload, MTIA_SIM_CHIP=chip)
    assert workload == "kernels" or result["number_different"] == 0
    for functional, timing in result["different"]:
        # Behind those the SRAM holds something else, so that another kernel may wait for DRAM.
        same_work = functional[:2] == timing[:2] and functional[3:5] == timing[3:5]
        assert functional[0] in DECIDED or same_work, (functional, timing)


def test_long_rows_take_the_same():
    """With room for the index that the gradient of cumsum turns its rows by."""
    result = compared("long_rows", MTIA_SIM_TIMING_KEPT_BYTES=str(4 << 20))
    assert result["commands"][0] == result["commands"][1] > 20
    assert result["number_different"] == 0, result["different"]


@pytest.mark.parametrize("workload", ["transforms", "long_products"])
def test_transforms_and_long_products_take_the_same(workload):
    result = compared(workload)
    assert result["number_different"] == 0, result["different"]
    assert result["summary"]["computed"] < result["summary"]["launches"]


@pytest.mark.parametrize("workload", ["pooled", "draws"])
def test_pooling_and_draws_take_the_same(workload):
    """All together: fractional pooling and torch's checks of probabilities read values."""
    result = compared(workload)
    assert result["cycles"][0] == result["cycles"][1] > 100_000
    assert result["summary"]["stood_in"] <= 1 and result["summary"]["computed"] < result["summary"]["launches"]


def test_what_rests_on_stand_ins_is_counted():
    result = compared("decisions")
    assert result["summary"]["stood_in"] > 0 and result["summary"]["stand_in_seconds"] > 0
    functional, timing = result["cycles"]
    assert abs(timing - functional) < 0.25 * functional
