"""Half precision beside integers and wider numbers: operands are rounded to the promoted dtype, as on every device."""

from __future__ import annotations

from collections.abc import Callable

import pytest
import torch

from tests.operators.comparison import DEVICE

HALVES = [torch.bfloat16, torch.float16]

OPERATORS: dict[str, Callable[..., torch.Tensor]] = {
    "add": torch.add,
    "sub": torch.sub,
    "mul": torch.mul,
    "eq": torch.eq,
    "ne": torch.ne,
    "lt": torch.lt,
    "le": torch.le,
    "gt": torch.gt,
    "ge": torch.ge,
    "maximum": torch.maximum,
    "minimum": torch.minimum,
    "fmod": torch.fmod,
}


def operands(half: torch.dtype, integer: torch.dtype, near: bool) -> tuple[torch.Tensor, torch.Tensor]:
    generator = torch.Generator().manual_seed(11)
    integers = torch.randint(-30000, 30000, (6, 33), generator=generator).to(integer)
    floats = integers.to(half) if near else torch.randn(6, 33, generator=generator).mul(10).to(half)
    return floats, integers


@pytest.mark.parametrize(("integer", "near"), [(torch.int64, True), (torch.int16, False)])
@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", OPERATORS)
def test_integers_are_rounded_first(name: str, half: torch.dtype, integer: torch.dtype, near: bool) -> None:
    x, i = operands(half, integer, near)
    for a, b in ((x, i), (i, x.t().contiguous().t()), (x, i[0])):
        expected = OPERATORS[name](a, b)
        torch.testing.assert_close(OPERATORS[name](a.to(DEVICE), b.to(DEVICE)).cpu(), expected, rtol=0, atol=0)


@pytest.mark.parametrize("half", HALVES)
@pytest.mark.parametrize("name", ["eq", "ne", "lt", "le", "gt", "ge"])
def test_comparisons_with_numbers(name: str, half: torch.dtype) -> None:
    for number in (0.1, 257, -3.3, 1e-9, 1e6, float("inf"), float("nan")):
        x = torch.full((40,), number, dtype=torch.float64).to(half)
        x[::3] = 2.0
        for other in (number, torch.tensor(number), torch.tensor(number, dtype=torch.float64)):
            expected = OPERATORS[name](x, other)
            assert torch.equal(OPERATORS[name](x.to(DEVICE), other).cpu(), expected), number
            if isinstance(other, torch.Tensor):
                assert torch.equal(OPERATORS[name](x.to(DEVICE), other.to(DEVICE)).cpu(), expected), number
            into = torch.empty(40, dtype=torch.uint8, device=DEVICE)
            assert torch.equal(OPERATORS[name](x.to(DEVICE), other, out=into).cpu().bool(), expected)


def test_numbers_are_exact_in_arithmetic() -> None:
    """As a GPU's; CPU torch does so in products alone."""
    x = torch.ones(8, dtype=torch.bfloat16, device=DEVICE)
    assert (x + 257).tolist() == [258.0] * 8
    assert (x * torch.tensor(1.003, device=DEVICE)).tolist() == torch.full((8,), 1.003).bfloat16().tolist()
