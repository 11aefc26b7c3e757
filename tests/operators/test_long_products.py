"""Products of few results whose k is long: it is cut in parts, by a rule that asks for sizes alone."""

import functools
import os
import subprocess
import sys

import pytest
import torch

from tests.operators.comparison import DEVICE, assert_rounded_once, compare, random_tensor

SHAPES = [(1, 1, 20001), (3, 1, 16384), (2, 70, 16387), (65, 7, 33001), (9, 130, 18433)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("shape", SHAPES)
def test_values(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, n, k = shape
    a, b = random_tensor(m, k, dtype=dtype, low=-0.2), random_tensor(k, n, dtype=dtype, low=-0.2)
    if dtype == torch.float16:
        a, b = a / 16, b / 16
    got = compare(torch.mm, a, b)
    if dtype in (torch.bfloat16, torch.float16):
        assert_rounded_once(got, a.double() @ b.double())
    compare(torch.mm, a.t().contiguous().t(), b.t().contiguous().t())
    compare(torch.mv, a, b[:, 0])
    compare(torch.dot, a[0], b[:, -1])


def test_addends_batches_and_layouts() -> None:
    a, b, row = random_tensor(5, 20001), random_tensor(20001, 3), random_tensor(3)
    for beta, alpha in ((1, 1), (0.5, -2), (0, 1)):
        compare(lambda c, x, y, e=beta, f=alpha: torch.addmm(c, x, y, beta=e, alpha=f), row, a, b)
        compare(lambda c, x, y, e=beta, f=alpha: torch.addmv(c, x, y, beta=e, alpha=f), random_tensor(5), a, b[:, 0])
        compare(lambda c, x, y, e=beta, f=alpha: torch.addmm(c, x, y, beta=e, alpha=f), row[:1], a[:1], b[:, :1])
    compare(torch.bmm, random_tensor(3, 4, 16411), random_tensor(3, 16411, 5))
    compare(torch.baddbmm, random_tensor(2, 4, 5), random_tensor(2, 4, 16411), random_tensor(2, 16411, 5))
    compare(torch.mm, random_tensor(2, 16385, dtype=torch.complex64), random_tensor(16385, 3, dtype=torch.complex64))
    for out in (torch.empty(3, 5, device=DEVICE).t(), torch.empty(6, 10, device=DEVICE)[::2, ::2].t()):
        torch.mm(a.to(DEVICE), b.to(DEVICE), out=out)
        torch.testing.assert_close(out.cpu().double(), a.double() @ b.double(), rtol=1e-5, atol=1e-2)


def test_infinities_stay_in_their_results() -> None:
    a, b = torch.ones(3, 20001), torch.ones(20001, 2)
    a[1, 20000], b[5, 1] = float("inf"), float("nan")
    compare(torch.mm, a, b)
    compare(torch.dot, a[1], b[:, 0])


def test_all_pes_take_part() -> None:
    x = random_tensor(2_000_000).to(DEVICE)
    for call in (
        lambda: torch.dot(x, x),
        lambda: x.view(2, -1).mv(x[:1_000_000]),
        lambda: x.view(4, -1) @ x.view(-1, 4),
    ):
        torch.mtia_sim.reset_perf_counters()
        call()
        assert torch.mtia_sim.perf_counters()["seconds"] < 100e-6


PROGRAM = """
import hashlib, torch
generator = torch.Generator().manual_seed(5)
for m, n, k in ((1, 1, 20001), (3, 1, 16384), (65, 70, 33001), (300, 64, 16411)):
    for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.float16):
        a, b = (torch.rand(*shape, generator=generator).to(dtype) for shape in ((m, k), (k, n)))
        product = (a.to("mtia_sim") @ b.to("mtia_sim")).cpu()
        print(f"{m}x{n}x{k}{dtype}", hashlib.sha256(product.view(torch.uint8).numpy().tobytes()).hexdigest())
"""


@functools.cache
def digests(chip: str) -> list[str]:
    environment = os.environ | {"MTIA_SIM_CHIP": chip}
    done = subprocess.run([sys.executable, "-c", PROGRAM], env=environment, capture_output=True, text=True)
    assert done.returncode == 0, done.stderr[-3000:]
    return done.stdout.splitlines()


@pytest.mark.parametrize("chip", ["mtia1", pytest.param("mtia2i", marks=pytest.mark.slow)])
def test_a_chip_changes_no_bits(chip: str) -> None:
    assert digests(chip) == digests("mtia300")
