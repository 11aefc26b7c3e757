"""Training jobs of many chips: how layers are dealt to stages, and what a job takes of its chips."""

import gc
from dataclasses import replace

import pytest

from mtia_sim.study.jobs import JOBS, Job
from mtia_sim.study.llama import SIZES
from mtia_sim.study.runs import Run
from mtia_sim.study.sharded import layers_of, uncollected
from mtia_sim.study.stages import measure


def test_layers_are_dealt_to_stages_whose_ends_have_one_less() -> None:
    assert layers_of(32, 1) == [32]
    assert layers_of(126, 16) == [7, *[8] * 14, 7]
    assert layers_of(126, 128) == [0, *[1] * 126, 0]  # arXiv:2407.21783, 3.3.2
    assert sum(layers_of(80, 4)) == 80
    with pytest.raises(ValueError, match="9 stages of 6 layers"):
        layers_of(6, 9)


def test_jobs_are_those_that_were_published() -> None:
    assert JOBS["llama3-405b-train-16384"].chips == 16384
    assert JOBS["llama3-70b-train-256"].described == "llama3-70b on 256 chips (FSDP 32, TP 8)"
    # A batch of 16 M tokens, arXiv:2407.21783, table 4.
    for name in ("llama3-405b-train-8192", "llama3-405b-train-16384"):
        assert JOBS[name].tokens * JOBS[name].chips == 2**24
    assert all(job.model in SIZES and job.batch % job.microbatch == 0 for job in JOBS.values())


def test_the_attention_of_a_measurement_is_its_own() -> None:
    # Not that of the process that asks, whose variables a remembered answer does not tell.
    waits = "MTIA_SIM_ATTENTION_WAITS"
    assert Run("gemm", "h100").environment()[waits] == "0"
    assert Run("llama3-8b-train-8", "h100_500w").environment()[waits] == "1"
    assert Run("llama3-405b-train-8192", "h100").environment()[waits] == "0"


def test_a_step_is_not_interrupted_for_garbage() -> None:
    """What the process did before would else decide when works and memory are given back, and a step's time."""
    collections: list[str] = []

    def told(phase: str, _: dict[str, int]) -> None:
        collections.append(phase)

    class Knot:
        def __init__(self) -> None:
            self.itself = self

    with uncollected():
        gc.callbacks.append(told)
        try:
            assert not gc.isenabled() and len([Knot() for _ in range(100_000)]) == 100_000
        finally:
            gc.callbacks.remove(told)
    assert gc.isenabled() and not collections


@pytest.mark.slow
def test_stages_wait_for_each_other() -> None:
    """Of two stages with two microbatches each waits for a third of the step; with eight for a ninth."""
    job = Job("llama3-8b", data=4, tensor=2, pipeline=2, sequence=512)
    two, eight = (measure(replace(job, batch=batch), "mtia300", layers=2) for batch in (2, 8))
    assert two["fits"] and eight["fits"]
    assert two["seconds"] > 1.3 * two["busy_seconds"]
    assert eight["seconds"] / eight["busy_seconds"] < 0.9 * two["seconds"] / two["busy_seconds"]
    assert two["peak_memory_bytes"] > 12 * job.size(1).matrix_parameters / 8  # float32, AdamW
