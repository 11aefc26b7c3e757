"""Torch's own means of parallel training on 2 or 4 ranks: 20 steps of a small Llama give one CPU's losses."""

import pytest

from tests.distributed.parallel.harness import check

DATA = (
    "bucket_views",
    "static_graph",
    "no_sync",
    "unused_parameters",
    "fp16_compress",
    "bf16_compress",
    "power_sgd",
    "uneven_inputs",
    "zero_redundancy",
    "timers",
)
PIPELINE = (
    "gpipe",
    "one_forward_one_backward",
    "interleaved_1f1b",
    "looped_breadth_first",
    "interleaved_zero_bubble",
    "zero_bubble_v",
    "dual_pipe_v",
)


@pytest.mark.parametrize("name", DATA)
def test_distributed_data_parallel(name: str) -> None:
    check("data", 2, name)


@pytest.mark.parametrize("name", PIPELINE)
def test_pipeline(name: str) -> None:
    check("pipeline", 2, name)


@pytest.mark.slow
@pytest.mark.parametrize("name", ["gpipe", "one_forward_one_backward"])
def test_pipeline_of_four(name: str) -> None:
    check("pipeline", 4, name)


@pytest.mark.slow
@pytest.mark.parametrize(
    ("module", "name"), [("data", "zero_redundancy"), ("data", "no_sync"), ("pipeline", "zero_bubble_v")]
)
def test_the_same_bits_from_run_to_run(module: str, name: str) -> None:
    check(module, 2, name, again=True)
