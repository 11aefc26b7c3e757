"""Tensors that are made or rearranged: ranges in every dtype, fills of repeated elements, take, repeat_interleave,
erfinv in float64, transposed convolutions with any output padding, attention that masks and broadcasts."""

from __future__ import annotations

import random

import mpmath
import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, compare, random_tensor

DTYPES = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
INTEGERS = [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64]


@pytest.mark.parametrize("dtype", DTYPES + INTEGERS)
def test_ranges(dtype: torch.dtype) -> None:
    generator = random.Random(3)
    for _ in range(12):
        low, high = (generator.choice([generator.uniform(0, 100), generator.randrange(0, 100)]) for _ in range(2))
        steps = generator.choice([0, 1, 2, 5, 50, 333])
        want = torch.linspace(low, high, steps, dtype=dtype)
        got = torch.linspace(low, high, steps, dtype=dtype, device=DEVICE).cpu()
        bound = 0.0 if dtype in INTEGERS else torch.finfo(dtype).eps * 2
        torch.testing.assert_close(got, want, rtol=bound, atol=bound * 100, msg=f"linspace({low}, {high}, {steps})")
        low, high, base = generator.uniform(0, 2), generator.uniform(0, 4), generator.choice([2.0, 3.0, 1.0])
        want = torch.logspace(low, high, steps, base, dtype=dtype)
        got = torch.logspace(low, high, steps, base, dtype=dtype, device=DEVICE).cpu()
        torch.testing.assert_close(got, want, rtol=8 * bound, atol=8 * bound, msg=f"logspace({low}, {high}, {steps})")


def test_ends_that_do_not_fit_are_refused_as_on_the_cpu() -> None:
    for place in ("cpu", DEVICE):
        with pytest.raises(RuntimeError, match="overflow"):
            torch.linspace(300, 1, 5, dtype=torch.uint8, device=place)
    assert torch.linspace(0, 1 + 2j, 3, device=DEVICE).cpu().equal(torch.linspace(0, 1 + 2j, 3))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.bool, torch.complex64])
def test_fills_of_repeated_elements(dtype: torch.dtype) -> None:
    def both(place: str) -> list[torch.Tensor]:
        results = []
        for view in (
            lambda x: x.expand(3, 4),
            lambda x: x[:, :1].expand(3, 5).t(),
            lambda x: x.expand(2, 3, 4)[:, 1:],
            lambda x: x.as_strided((2, 2), (1, 1)),
        ):
            for value in (1, 0.5, True):
                base = torch.zeros(3, 1, dtype=dtype, device=place)
                filled = view(base).fill_(value)
                results += [base.cpu().clone(), filled.cpu().clone()]
                view(base).zero_()
                results.append(base.cpu().clone())
        return results

    for ours, cpus in zip(both(DEVICE), both("cpu"), strict=True):
        assert torch.equal(ours, cpus)


@pytest.mark.parametrize("dtype", [torch.float32, torch.int8, torch.complex64])
@pytest.mark.parametrize(
    ("sizes", "strides"),
    [((4000, 3), (1, 1)), ((3, 4000), (1, 1)), ((500, 16), (8, 1)), ((50, 4, 5), (3, 40, 1)), ((9, 70, 7), (0, 14, 2))],
)
def test_fills_of_windows(dtype: torch.dtype, sizes: tuple[int, ...], strides: tuple[int, ...]) -> None:
    """Windows that overlap, over more than one program: under checked mode no two may write the same bytes."""
    filled = [
        torch.zeros(5000, dtype=dtype, device=place).as_strided(sizes, strides, 5).fill_(3) for place in (DEVICE, "cpu")
    ]
    ours, cpus = (each.as_strided((5000,), (1,), 0).cpu() for each in filled)
    assert torch.equal(ours, cpus)


def test_take() -> None:
    values = torch.arange(24.0).reshape(4, 6).t()
    generator = torch.Generator().manual_seed(2)
    for shape in ((7,), (2, 3), (), (0,)):
        places = torch.randint(-24, 24, shape, generator=generator)
        assert torch.equal(values.to(DEVICE).take(places.to(DEVICE)).cpu(), values.take(places))


def test_repeat_interleave() -> None:
    generator = torch.Generator().manual_seed(4)
    for dtype in (torch.int32, torch.int64):
        for count in (0, 1, 5, 300):
            repeats = torch.randint(0, 5, (count,), generator=generator).to(dtype)
            got = torch.repeat_interleave(repeats.to(DEVICE)).cpu()
            want = torch.repeat_interleave(repeats)
            assert got.dtype == want.dtype and torch.equal(got, want)
    rows, repeats = torch.randn(4, 3, generator=generator), torch.tensor([0, 2, 1, 3])
    for dim, what in ((0, repeats), (1, repeats[:3])):
        got = torch.repeat_interleave(rows.to(DEVICE), what.to(DEVICE), dim=dim).cpu()
        assert torch.equal(got, torch.repeat_interleave(rows, what, dim=dim))
    for place in ("cpu", DEVICE):
        for wrong in ([1, -1], [1.0, 2.0], [[1, 1]]):
            with pytest.raises(RuntimeError):
                torch.repeat_interleave(torch.tensor(wrong, device=place))
        with pytest.raises(RuntimeError, match="does not match"):
            torch.repeat_interleave(torch.tensor([1, 2], device=place), output_size=4)


def test_erfinv_in_float64() -> None:
    mpmath.mp.dps = 40
    generator = random.Random(6)
    points = [0.0, 0.5, -0.9972480019181578, 1 - 2.0**-53, -1 + 2.0**-40, 1e-300]
    points += [generator.uniform(-1, 1) for _ in range(200)]
    points += [1 - 10.0 ** -generator.uniform(0, 15.9) for _ in range(200)]
    values = torch.tensor(points, dtype=torch.float64)
    want = torch.tensor([float(mpmath.erfinv(point)) for point in values.tolist()], dtype=torch.float64)
    torch.testing.assert_close(torch.erfinv(values.to(DEVICE)).cpu(), want, rtol=4e-15, atol=0)
    ends = torch.tensor([1.0, -1.0, 1.5, float("nan")], dtype=torch.float64)
    torch.testing.assert_close(torch.erfinv(ends.to(DEVICE)).cpu(), torch.erfinv(ends), equal_nan=True)


@pytest.mark.parametrize("dimensions", [1, 2, 3])
def test_transposed_convolutions_with_any_output_padding(dimensions: int) -> None:
    function = [F.conv_transpose1d, F.conv_transpose2d, F.conv_transpose3d][dimensions - 1]
    generator = random.Random(dimensions)
    for _ in range(8):
        stride = [generator.randrange(1, 4) for _ in range(dimensions)]
        dilation = [generator.randrange(1, 4) for _ in range(dimensions)]
        least = max(min(stride), min(dilation))
        extra = [generator.randrange(0, max(s, d)) for s, d in zip(stride, dilation, strict=True)]
        groups = generator.choice([1, 2])
        x = random_tensor(2, 4, *[generator.randrange(1, 5) for _ in range(dimensions)])
        w = random_tensor(4, 3, *[generator.randrange(1, 4) for _ in range(dimensions)])
        padding = [generator.randrange(0, 2) if size > 2 else 0 for size in x.shape[2:]]
        assert least >= 1
        compare(
            lambda a, b, s=stride, p=padding, e=extra, g=groups, d=dilation: function(a, b, None, s, p, e, g, d),
            x, w, gradients=True, bound=1e-5,
        )  # fmt: skip


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_attention_of_masked_rows(dtype: torch.dtype) -> None:
    lowest = torch.finfo(dtype).min
    generator = torch.Generator().manual_seed(9)
    q, k, v = (torch.randn(2, 2, n, 16, generator=generator).to(dtype) for n in (5, 70, 70))
    mask = torch.zeros(5, 70, dtype=dtype)
    mask[0] = lowest
    mask[1, 3:] = lowest
    mask[2, ::2] = -float("inf")
    mask[3] = -float("inf")
    mask[4, :40], mask[4, 40:] = lowest, -float("inf")
    got = F.scaled_dot_product_attention(*(x.to(DEVICE) for x in (q, k, v, mask))).cpu().double()
    want = F.scaled_dot_product_attention(*(x.float() for x in (q, k, v, mask))).double()
    bound = {torch.float32: 1e-5, torch.float16: 2e-3, torch.bfloat16: 1.6e-2}[dtype]
    torch.testing.assert_close(got, want, rtol=bound, atol=bound)
    rows = torch.full((3, 40), lowest, dtype=dtype, device=DEVICE)
    torch.testing.assert_close(rows.softmax(1).cpu(), rows.cpu().softmax(1))


def test_attention_broadcasts_batches_and_one_head() -> None:
    for shapes in (
        [(2, 1, 3, 8), (1, 1, 4, 8), (1, 1, 4, 8)],
        [(1, 2, 3, 8), (3, 2, 4, 8), (3, 2, 4, 8)],
        [(2, 4, 3, 8), (2, 1, 4, 8), (2, 1, 4, 8)],
        [(2, 4, 3, 8), (2, 4, 4, 8), (1, 4, 4, 8)],
    ):
        compare(F.scaled_dot_product_attention, *[random_tensor(*shape) for shape in shapes], bound=1e-5)
    q, k = torch.ones(2, 4, 3, 8), torch.ones(2, 2, 3, 8)
    for place in ("cpu", DEVICE):
        with pytest.raises(RuntimeError):
            F.scaled_dot_product_attention(q.to(place), k.to(place), k.to(place))
    compare(lambda a, b: F.scaled_dot_product_attention(a, b, b, enable_gqa=True), q, k)
