"""MTIA_SIM_OUT_OF_BOUNDS=lenient: what leaves a tensor reads 0 and writes nothing, with one warning a kernel."""

import os
import subprocess
import sys
from pathlib import Path

import pytest
import torch
import triton
import triton.language as tl

DEVICE = "mtia_sim"


@triton.jit
def structured(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.load(x + offsets) + n)


@triton.jit
def matrix(x, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    place = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    left = tl.load(x + place)
    tl.store(out + place, tl.dot(left, tl.trans(left)))


@triton.jit
def indexed(x, index, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    where = tl.load(index + offsets)
    tl.store(out + where, tl.load(x + where) * 2)


@triton.jit
def masked(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    kept = (offsets * 7) % 5 != 0
    tl.store(out + offsets, tl.load(x + offsets, mask=kept, other=-1.0), mask=kept)


@triton.jit
def scalars(x, out, n):
    tl.store(out + tl.program_id(0), tl.load(x + n + tl.program_id(0)))


@triton.jit
def atomics(out, old, index, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    where = tl.load(index + offsets)
    tl.store(old + offsets, tl.atomic_add(out + where, offsets + 1))
    tl.atomic_max(out + where, 3)


@triton.jit
def swaps(out, old, n):
    tl.store(old + tl.program_id(0), tl.atomic_cas(out + tl.program_id(0), 0, 5 + n))


@triton.jit
def backwards(x, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.load(x - n + offsets))


def extended(x, length, first=0):
    """A tensor as a kernel sees it that leaves it: zeros beyond."""
    result = torch.zeros(length, dtype=x.dtype)
    low, high = max(first, 0), min(first + length, x.numel())
    result[low - first : high - first] = x[low:high]
    return result


_alive: list[torch.Tensor] = []


def apart(tensor: torch.Tensor) -> torch.Tensor:
    """A tensor on the device with memory around it that no launch is given: beyond one tensor lies no other one."""
    around = [torch.empty(1 << 14, dtype=torch.uint8, device=DEVICE), tensor.to(DEVICE)]
    _alive.extend([*around, torch.empty(1 << 14, dtype=torch.uint8, device=DEVICE)])
    return around[1]


def check_lenient() -> None:
    generator = torch.Generator().manual_seed(1)
    x = torch.randn(100, generator=generator)
    for dtype in (torch.float32, torch.bfloat16, torch.int8, torch.int64):
        for programs, block, size in ((1, 128, 100), (4, 64, 256), (3, 64, 90)):
            values = (x * 9).to(dtype)
            out = apart(torch.full((size,), 55, dtype=dtype))
            structured[(programs,)](apart(values), out, 3, BLOCK=block)
            expected = torch.full((size,), 55, dtype=dtype)
            reached = min(size, programs * block)
            expected[:reached] = (extended(values, reached) + 3).to(dtype)
            assert torch.equal(out.cpu(), expected), (dtype, programs)
    square, out = torch.randn(200, generator=generator), apart(torch.zeros(16, 16))
    matrix[(1,)](apart(square), out, ROWS=16, COLUMNS=16)
    whole = extended(square, 256).view(16, 16)
    torch.testing.assert_close(out.cpu(), whole @ whole.T, rtol=1e-5, atol=1e-5)

    index = torch.randint(-50, 200, (128,), generator=generator)
    index = index.unique()[:64]
    out = apart(torch.full((120,), 55.0))
    indexed[(1,)](apart(x), apart(index), out, BLOCK=64)
    expected = torch.full((120,), 55.0)
    for place in index.tolist():
        if 0 <= place < 120:
            expected[place] = 2 * x[place] if place < 100 else 0
    assert torch.equal(out.cpu(), expected)

    out = apart(torch.full((110,), 55.0))
    masked[(1,)](apart(x), out, 3, BLOCK=128)
    kept = (torch.arange(110) * 7) % 5 != 0
    assert torch.equal(out.cpu(), torch.where(kept, extended(x, 110), torch.tensor(55.0)))

    out = apart(torch.full((4,), 55.0))
    scalars[(6,)](apart(x), out, 98)
    assert torch.equal(out.cpu(), torch.tensor([x[98].item(), x[99].item(), 0.0, 0.0]))

    places = torch.tensor([3, -1, 9, 10, 4, 1000, 0, 8])
    out, old = apart(torch.zeros(10, dtype=torch.int32)), apart(torch.full((8,), 77, dtype=torch.int32))
    atomics[(1,)](out, old, apart(places), BLOCK=8)
    expected = torch.zeros(10, dtype=torch.int32)
    for number, place in enumerate(places.tolist()):
        if 0 <= place < 10:
            expected[place] = max(number + 1, 3)
    assert torch.equal(out.cpu(), expected)
    assert old.count_nonzero().item() == 0

    out, old = apart(torch.zeros(3, dtype=torch.int32)), apart(torch.full((5,), 77, dtype=torch.int32))
    swaps[(5,)](out, old, 1)
    assert (out.tolist(), old.tolist()) == ([6, 6, 6], [0] * 5)

    out = apart(torch.full((64,), 55.0))
    backwards[(1,)](apart(x), out, 10, BLOCK=64)
    assert torch.equal(out.cpu(), extended(x, 64, -10))


def run(body: str, **variables: str) -> subprocess.CompletedProcess[str]:
    script = f"import sys, torch; sys.path.insert(0, sys.argv[1]); import test_out_of_bounds as t\n{body}\n"
    return subprocess.run(
        [sys.executable, "-c", script, str(Path(__file__).parent)],
        env=os.environ | variables,
        capture_output=True,
        text=True,
        timeout=300,
    )


@pytest.mark.parametrize("threads", ["1", "2"])
def test_lenient(threads):
    ended = run("t.check_lenient()", MTIA_SIM_OUT_OF_BOUNDS="lenient", MTIA_SIM_THREADS=threads)
    assert ended.returncode == 0, ended.stderr[-3000:]
    told = [line for line in ended.stderr.splitlines() if "warning" in line]
    kernels = ["structured", "matrix", "indexed", "masked", "scalars", "atomics", "swaps", "backwards"]
    for name in kernels:
        lines = [line for line in told if f"kernel {name}, " in line]
        assert 1 <= len(lines) <= 2, (name, told)  # of a load, and of a store where another launch first had that
        assert len(set(lines)) == len(lines) and all("test_out_of_bounds.py:" in line for line in lines)
    assert any("before a tensor of 400 bytes" in line for line in told if "kernel backwards" in line)


LAUNCH = "t.structured[(2,)](torch.ones(100, device='mtia_sim'), torch.ones(100, device='mtia_sim'), 3, BLOCK=64)"


@pytest.mark.parametrize("word", ["strict", ""])
def test_strict_is_the_default(word):
    ended = run(f"{LAUNCH}\ntorch.mtia_sim.synchronize()", MTIA_SIM_OUT_OF_BOUNDS=word)
    assert "OutOfBounds" in ended.stderr and "of a tensor of 400 bytes" in ended.stderr, ended.stderr[-2000:]


def test_another_word_is_refused():
    ended = run(LAUNCH, MTIA_SIM_OUT_OF_BOUNDS="lenint")
    assert "MTIA_SIM_OUT_OF_BOUNDS is 'lenint'" in ended.stderr and "strict or lenient" in ended.stderr


def test_operators_stay_strict():
    """Only kernels that a user launches may leave their tensors: an index out of range is an error as before."""
    body = (
        "try: torch.ones(4, 2, device='mtia_sim').index_select(0, torch.tensor([7], device='mtia_sim')).cpu()\n"
        "except Exception as error: print('refused')"
    )
    assert "refused" in run(body, MTIA_SIM_OUT_OF_BOUNDS="lenient").stdout


ACCOUNT = """
x = torch.randn(128, device="mtia_sim"); out = torch.empty_like(x)
torch.mtia_sim.reset_perf_counters()
t.structured[(2,)](x, out, 3, BLOCK=64)
index = torch.randperm(64, generator=torch.Generator().manual_seed(0)).to("mtia_sim")
t.indexed[(1,)](x, index, out, BLOCK=64)
counters = torch.mtia_sim.perf_counters()
print({key: value for key, value in counters.items() if "cycles" in key or "bytes" in key})
"""


def test_accounts_of_what_stays_inside_are_the_same():
    assert run(ACCOUNT).stdout == run(ACCOUNT, MTIA_SIM_OUT_OF_BOUNDS="lenient").stdout != ""
