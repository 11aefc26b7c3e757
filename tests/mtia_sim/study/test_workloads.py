"""What studies run: items and FLOPs of streams, attention and products, and what they refuse."""

from pathlib import Path
from typing import Any

import pytest

from mtia_core import chips
from mtia_core.errors import InvalidArgument
from mtia_sim.study.runs import CACHE_VARIABLE, Run, measured_all
from mtia_sim.study.workloads import Options

CHIP = "h100"
RUNS = {
    "copy": Run("copy", CHIP, Options(shape=(1 << 22,))),
    "triad": Run("triad", CHIP, Options(shape=(1 << 22,), dtype="float32")),
    "sum": Run("sum", CHIP, Options(shape=(1 << 22,), dtype="float32")),
    "causal": Run("attention-forward", CHIP, Options(sequence=1024, shape=(4, 2, 64))),
    "full": Run("attention-forward-full", CHIP, Options(sequence=1024, shape=(4, 2, 64))),
    "both": Run("attention", CHIP, Options(sequence=1024, shape=(4, 2, 64))),
    "bf16": Run("gemm", CHIP, Options(shape=(2048, 2048, 2048))),
    "fp8": Run("gemm", CHIP, Options(shape=(2048, 2048, 2048), dtype="float8_e4m3fn")),
    **{
        how: Run(how, CHIP, Options(shape=(4096, 4096, 4096)))
        for how in ("gemm", "gemms", "flushed-gemm", "rested-gemm")
    },
    **{
        f"small {how}": Run(how, CHIP, Options(shape=(256, 256, 256)))
        for how in ("gemm", "flushed-gemm", "rested-gemm")
    },
    "all": Run("llama3-8b-train", CHIP, Options(sequence=256, layers=2)).with_room(),
    "second": Run("llama3-8b-train", CHIP, Options(sequence=256, layers=2, recompute=2)).with_room(),
    "none": Run("llama3-8b-train", CHIP, Options(sequence=256, layers=2, recompute=0)).with_room(),
}


@pytest.fixture(scope="module")
def found(tmp_path_factory: pytest.TempPathFactory) -> Any:
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv(CACHE_VARIABLE, str(tmp_path_factory.mktemp("study")))
        answers = measured_all(RUNS.values())
        yield {name: answers[run] for name, run in RUNS.items()}


def test_streams_count_the_bytes_that_they_ask_for(found: Any) -> None:
    assert found["copy"]["items"] == 2 * 2 * (1 << 22)
    assert found["triad"]["items"] == 3 * 4 * (1 << 22)
    assert found["triad"]["launches"] == 1
    assert found["sum"]["items"] == 4 * (1 << 22) > 100 * found["sum"]["bytes"]["dram_written"]


def test_attention_forward_takes_half_with_a_causal_mask_and_a_third_of_both_directions(found: Any) -> None:
    causal, full, both = (found[name] for name in ("causal", "full", "both"))
    assert full["model_flops"] == 4 * 4 * 64 * 1024 * 1024 == 2 * causal["model_flops"]
    assert both["model_flops"] == 3 * causal["model_flops"]
    assert causal["dot_flops"] < full["dot_flops"] < both["dot_flops"]


def test_products_of_float8_are_faster(found: Any) -> None:
    assert found["fp8"]["seconds"] < 0.8 * found["bf16"]["seconds"]


def test_products_in_a_loop_take_as_long_as_one_that_goes_on(found: Any) -> None:
    loop, one = found["gemms"], found["gemm"]
    assert loop["items"] == loop["launches"] == 10 and loop["model_flops"] == 10 * one["model_flops"]
    assert loop["seconds"] == pytest.approx(10 * one["seconds"], rel=1e-3)


def test_products_with_pauses_may_draw_more_than_the_limit(found: Any) -> None:
    limit = chips.load(CHIP).power_limit_watts
    watts = [found[how]["joules"] / found[how]["seconds"] for how in ("gemm", "flushed-gemm", "rested-gemm")]
    assert watts[0] == pytest.approx(limit, rel=0.01) and limit * 1.1 < watts[1] < watts[2]
    rates = [found[how]["model_flops"] / found[how]["seconds"] for how in ("gemm", "flushed-gemm", "rested-gemm")]
    assert rates[0] < rates[1] < rates[2]


def test_products_that_are_timed_alone_begin_on_an_idle_grid(found: Any) -> None:
    chip = chips.load(CHIP)
    for how in ("small flushed-gemm", "small rested-gemm"):
        later = found[how]["seconds"] - found["small gemm"]["seconds"]
        # The launch, and operands that come from DRAM.
        assert (chip.launch_ns - chip.replace_ns) * 1e-9 < later < chip.launch_ns * 1e-9


def test_less_is_made_again_where_fewer_layers_are_recomputed(found: Any) -> None:
    every, second, none = (found[name]["dot_flops"] for name in ("all", "second", "none"))
    assert every > second > none
    assert every - second == pytest.approx(second - none)


def test_no_model_is_of_float8(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(CACHE_VARIABLE, str(tmp_path))
    with pytest.raises(InvalidArgument, match="no model holds its weights in float8"):
        measured_all([Run("llama3-8b-decode", CHIP, Options(layers=1, sequence=64, dtype="float8_e4m3fn"))])
