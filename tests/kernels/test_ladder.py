"""The kernel ladders: every step against float64 on the host at odd sizes, and no step slower than the one before."""

import dataclasses
import subprocess
import sys
from functools import partial
from pathlib import Path

import pytest
import torch

from mtia_core import chips
from mtia_core.errors import OutOfLocalMemory
from mtia_sim_kernels.triton.ladder import attention, softmax

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
sys.path.insert(0, str(BENCHMARKS))

from suites import gemm_ladder  # noqa: E402
from suites.ladders import TRITON_LADDERS, account, gemm_ladders, prepared  # noqa: E402

LADDERS = (*gemm_ladders(), *TRITON_LADDERS)
# What pages of the C++ steps and the blocks of the last attention are made for: mtia1 has less.
HAS_ROOM = chips.load().local_memory_bytes >= 384 * 1024
# Measured apart by less, two steps are as fast as each other: on a chip whose bound the step does not touch.
TOLERANCE = 1.02


def small_shapes(name: str) -> tuple[tuple[int, ...], ...]:
    """Shapes of inputs that give every processing element the same work."""
    chip = chips.load()
    elements = chip.processing_elements
    shapes = {
        "softmax": ((64 * elements, 1000),),
        "long_softmax": ((elements, 40_000),),
        "attention": ((elements // 2, 1024, 64),) * 3,
        "gemm": ((256 * chip.pe_rows, 1024), (1024, 256 * chip.pe_columns)),
        "gemm_long_k": ((256, 4096), (4096, 256)),
    }
    return shapes[name]


def poisoned(like: torch.Tensor) -> torch.Tensor:
    return torch.full_like(like, float("nan"))


def assert_close(got: torch.Tensor, wanted: torch.Tensor) -> None:
    error = (got.cpu().double() - wanted).norm() / wanted.norm()
    assert error < (4e-3 if got.dtype == torch.bfloat16 else 2e-6), f"off by {error:.2g} in relative norm"


@pytest.mark.parametrize(
    ("shape", "dtype"),
    [((1, 1), torch.bfloat16), ((37, 333), torch.float32), ((75, 1024), torch.bfloat16), ((3, 5001), torch.float32)],
)
@pytest.mark.parametrize(
    "step", dict.fromkeys(softmax.ROWS_THAT_FIT + softmax.LONG_ROWS), ids=lambda step: step.__name__
)
def test_softmax_steps(step, shape, dtype):
    x = 5 * torch.randn(shape).to(dtype)
    x[0, 0] = 80.0
    if shape[1] > 600:
        x[-1, :600] = -float("inf")
    on_device = x.to("mtia_sim")
    out = poisoned(on_device)
    step(out, on_device)
    assert_close(out, torch.softmax(x.double(), dim=1))


@pytest.mark.parametrize("shape", [(1, 1, 16), (3, 100, 64), (2, 333, 32), (1, 640, 128)])
@pytest.mark.parametrize("step", attention.STEPS, ids=lambda step: step.__name__)
def test_attention_steps(step, shape):
    q, k, v = (torch.randn(shape, dtype=torch.bfloat16) for _ in range(3))
    wanted = torch.nn.functional.scaled_dot_product_attention(q.double(), k.double(), v.double(), is_causal=True)
    inputs = [tensor.to("mtia_sim") for tensor in (q, k, v)]
    out = poisoned(inputs[0])
    step(out, *inputs)
    assert_close(out, wanted)


@pytest.mark.parametrize("shape", [(1, 1, 1), (37, 50, 29), (300, 257, 517)])
@pytest.mark.parametrize("step", dict.fromkeys(gemm_ladder.STEPS + gemm_ladder.LONG_K), ids=lambda step: step.__name__)
def test_gemm_steps(step, shape):
    m, n, k = shape
    a, b = torch.randn(m, k).bfloat16(), torch.randn(k, n).bfloat16()
    out = torch.full((m, n), float("nan"), dtype=torch.bfloat16, device="mtia_sim")
    step(out, *prepared(step, [a.to("mtia_sim"), b.to("mtia_sim")]))
    if not HAS_ROOM and step is not gemm_ladder.naive:
        with pytest.raises(OutOfLocalMemory, match=r"needs \d+ bytes of local memory"):
            torch.mtia_sim.synchronize()
        return
    assert_close(out, a.double() @ b.double())


@pytest.mark.parametrize("ladder", LADDERS if HAS_ROOM else TRITON_LADDERS, ids=lambda ladder: ladder.name)
def test_no_step_is_slower_than_the_one_before(ladder):
    steps = ladder.steps[:-1] if ladder.name == "attention" and not HAS_ROOM else ladder.steps
    small = dataclasses.replace(ladder, shapes=small_shapes(ladder.name))
    host = small.make()
    out = poisoned(ladder.reference(*host).to("mtia_sim"))
    seconds = []
    for step in steps:
        inputs = prepared(step, [tensor.to("mtia_sim") for tensor in host])
        step(out, *inputs)
        seconds.append(account(partial(step, out, *inputs))["seconds"])
    for before, after, step in zip(seconds, seconds[1:], steps[1:], strict=False):
        assert after <= before * TOLERANCE, f"{step.__name__} takes {after:.3g} s, the step before {before:.3g} s"
    assert seconds[-1] * 2 < seconds[0]


def test_the_page_names_every_step():
    page = (Path(__file__).parents[2] / "docs" / "ladder.md").read_text()
    for ladder in LADDERS:
        for step in ladder.steps:
            for chip in ("mtia300", "mtia2i"):
                assert f"| {chip} | {step.__name__} |" in page


@pytest.mark.slow
def test_the_runner_prints_a_table():
    command = [sys.executable, str(BENCHMARKS / "ladder.py"), "--chips", "mtia300", "--only", "long_softmax"]
    printed = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    assert printed.count("| mtia300 |") == len(softmax.LONG_ROWS)
