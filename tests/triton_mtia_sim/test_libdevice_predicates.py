"""libdevice's tests of numbers and counts of bits: results and their types as CUDA's libdevice has them."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from triton.language import core
from triton.language.extra import libdevice
from triton.language.extra.cuda import libdevice as of_cuda

from triton_mtia_sim import libdevice as of_the_chip

DEVICE = "mtia_sim"


def numbers(dtype: torch.dtype, count: int, seed: int) -> torch.Tensor:
    """Bits at random, so that each sort of number is among them, and each sort for certain."""
    bits = {torch.float64: torch.int64, torch.float32: torch.int32}.get(dtype, torch.int16)
    limits = torch.iinfo(bits)
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randint(limits.min, limits.max, (count,), generator=generator, dtype=bits).view(dtype)
    special = [0.0, -0.0, float("inf"), -float("inf"), float("nan"), 1.0, -1.0]
    drawn[: len(special)] = torch.tensor(special, dtype=dtype)
    tiny = torch.finfo(dtype).smallest_normal / 2
    drawn[len(special) : len(special) + 2] = torch.tensor([tiny, -tiny], dtype=dtype)
    return drawn


@triton.jit
def predicates(x, out, n, BLOCK: tl.constexpr, DOUBLE: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    inside = offsets < n
    values = tl.load(x + offsets, mask=inside, other=0.0)
    nan, infinite = libdevice.isnan(values), libdevice.isinf(values)
    finite = libdevice.isfinited(values) if DOUBLE else libdevice.finitef(values)
    tl.store(out + offsets, nan, mask=inside)
    tl.store(out + n + offsets, infinite, mask=inside)
    tl.store(out + 2 * n + offsets, finite, mask=inside)
    tl.store(out + 3 * n + offsets, ~nan, mask=inside)
    tl.store(out + 4 * n + offsets, ~infinite, mask=inside)
    tl.store(out + 5 * n + offsets, ~finite, mask=inside)
    tl.store(out + 6 * n + offsets, (~nan & ~infinite) == finite, mask=inside)
    tl.store(out + 7 * n + offsets, libdevice.signbit(values) != 0, mask=inside)
    tl.store(out + 8 * n + offsets, tl.where(~finite, 1, 0) + nan.to(tl.int32), mask=inside)
    tl.store(out + 9 * n + offsets, tl.where(nan, 0.0, values) == values, mask=inside)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16], ids=str)
@pytest.mark.parametrize("count", [16, 1000])
def test_predicates_and_their_negations(dtype, count):
    x = numbers(dtype, count, count)
    out = torch.full((10, count), 77, dtype=torch.int32, device=DEVICE)
    predicates[(triton.cdiv(count, 128),)](x.to(DEVICE), out, count, BLOCK=128, DOUBLE=dtype is torch.float64)
    nan, infinite, finite = x.isnan(), x.isinf(), x.isfinite()
    expected = [nan, infinite, finite, ~nan, ~infinite, ~finite, torch.ones_like(nan), x.signbit()]
    expected += [(~finite).int() + nan.int(), ~nan]
    assert torch.equal(out.cpu(), torch.stack([item.int() for item in expected]))


@triton.jit
def scalar_predicate(x, out):
    value = tl.load(x)
    tl.store(out, 1 if ~libdevice.isnan(value) else 2)


@pytest.mark.parametrize("value", [1.0, float("nan")])
def test_predicate_of_one_number(value):
    out = torch.zeros(1, dtype=torch.int32, device=DEVICE)
    scalar_predicate[(1,)](torch.tensor([value], device=DEVICE), out)
    assert out.item() == (2 if value != value else 1)


@triton.jit
def of_integers(x, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    tl.store(out + offsets, libdevice.popc(values))
    tl.store(out + BLOCK + offsets, libdevice.clz(values))
    tl.store(out + 2 * BLOCK + offsets, libdevice.ffs(values))
    tl.store(out + 3 * BLOCK + offsets, libdevice.brev(values))


@pytest.mark.parametrize("dtype", [torch.int32, torch.int64], ids=str)
def test_bits_of_integers(dtype):
    width = torch.iinfo(dtype).bits
    limits = torch.iinfo(dtype)
    x = torch.randint(limits.min, limits.max, (64,), generator=torch.Generator().manual_seed(2), dtype=dtype)
    x[:3] = torch.tensor([0, -1, limits.min], dtype=dtype)
    out = torch.zeros(4, 64, dtype=dtype, device=DEVICE)
    of_integers[(1,)](x.to(DEVICE), out, BLOCK=64)
    texts = [f"{number % (1 << width):0{width}b}" for number in x.tolist()]
    expected = [
        [text.count("1") for text in texts],
        [len(text) - len(text.lstrip("0")) for text in texts],
        [len(text) - text.rindex("1") if "1" in text else 0 for text in texts],
        [int(text[::-1], 2) - (int(text[-1]) << width) for text in texts],
    ]
    assert out.tolist() == expected


@triton.jit
def to_long(x, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    tl.store(out + offsets, libdevice.llrint(values))
    tl.store(out + BLOCK + offsets, libdevice.llround(values))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_rounding_to_64_bits(dtype):
    x = torch.randn(64, generator=torch.Generator().manual_seed(4), dtype=dtype) * 1e12
    x[:6] = torch.tensor([0.5, 1.5, -0.5, -2.5, 3e9, -3e9], dtype=dtype)
    out = torch.zeros(2, 64, dtype=torch.int64, device=DEVICE)
    to_long[(1,)](x.to(DEVICE), out, BLOCK=64)
    exact = x.double().numpy()
    away = np.trunc(exact) + np.where(np.abs(exact - np.trunc(exact)) >= 0.5, np.sign(exact), 0)
    assert np.array_equal(out.cpu().numpy(), np.stack([np.rint(exact), away]).astype(np.int64))


class _Recorded:
    """What extern_elementwise would give: the type that a function makes of it in the end."""

    cast = None

    def to(self, dtype, _semantic=None):
        self.cast = dtype
        return self


def _result_types(function, monkeypatch):
    """Result type by operand types, as a libdevice function's table and its own conversion say."""
    seen = []

    def record(_library, _path, _arguments, table, is_pure, _semantic=None):
        del is_pure, _semantic
        seen.append((table, _Recorded()))
        return seen[-1][1]

    with monkeypatch.context() as patched:
        patched.setattr(core, "extern_elementwise", record)
        for count in range(1, 5):
            try:
                function(*[None] * count, _semantic=1)
            except TypeError:
                continue
            if seen:
                table, made = seen[0]
                return {tuple(map(str, types)): str(made.cast or row[1]) for types, row in table.items()}
    return {}


def test_every_function_gives_the_type_that_cudas_gives(monkeypatch):
    names = [name for name, function in vars(of_cuda).items() if core.is_builtin(function) and name[0] != "_"]
    assert len(names) > 150
    for name in names:
        wanted = _result_types(getattr(of_cuda, name), monkeypatch)
        found = _result_types(getattr(of_the_chip, name), monkeypatch)
        assert found.items() >= wanted.items(), name
