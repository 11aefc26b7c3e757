"""Arithmetic of complex numbers with its gradients, and rotary embeddings written with it."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE


def complex_tensor(*shape: int, dtype: torch.dtype = torch.complex64, seed: int = 0) -> Tensor:
    return torch.randn(*shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


def check(function: Callable[..., Tensor], *arguments: Any) -> None:
    """Against the CPU in complex128, gradients of the tensors too."""
    tensors = [value for value in arguments if isinstance(value, Tensor)]

    def run(place: Callable[[Tensor], Tensor]) -> list[Tensor]:
        moved = {id(value): place(value).requires_grad_() for value in tensors}
        out = function(*(moved.get(id(value), value) for value in arguments))
        weights = place(complex_tensor(*out.shape, seed=9) if out.is_complex() else complex_tensor(*out.shape).real)
        return [out, *torch.autograd.grad(out, list(moved.values()), weights)]

    got = run(lambda value: value.detach().to(DEVICE))
    wanted = run(lambda value: value.detach().to(torch.complex128 if value.is_complex() else torch.float64))
    for one, other in zip(got, wanted, strict=True):
        assert one.device.type == DEVICE and one.is_complex() == other.is_complex()
        torch.testing.assert_close(one.detach().cpu(), other.detach().to(one.dtype), rtol=3e-6, atol=3e-6)


@pytest.mark.parametrize("name", ["add", "sub", "mul", "div"])
def test_two_operands(name: str) -> None:
    function = getattr(torch, name)
    a, b, real = complex_tensor(5, 1, 7), complex_tensor(3, 7, seed=1), complex_tensor(3, 1, seed=2).real + 3
    check(function, a, b)
    check(function, a, real)
    check(function, real, a)
    check(lambda t: function(t, 2 - 0.5j), a)
    check(lambda t: function(t, 0.25), a)
    check(lambda t: function(t * 1j, t.real), a)


def test_what_is_done_in_place_or_lazily() -> None:
    a, b = complex_tensor(4, 5), complex_tensor(4, 5, seed=1)
    check(lambda x, y: (x.conj() * y).imag, a, b)
    check(lambda x: torch.conj_physical(-x), a)
    on_device = a.to(DEVICE)
    on_device.mul_(b.to(DEVICE)).add_(on_device.conj(), alpha=0.5)
    wanted = a * b
    torch.testing.assert_close(on_device.cpu(), wanted + 0.5 * wanted.conj())
    assert torch.equal(a.to(DEVICE).conj().cpu(), a.conj())
    assert torch.equal(a.conj().to(DEVICE).cpu(), a.conj())


def test_fill() -> None:
    for value in (1.0, 2, True, 3 - 0.5j):
        for dtype in (torch.complex64, torch.complex128):
            a = complex_tensor(4, 5, dtype=dtype)
            on_device = a.to(DEVICE)
            on_device[1:, ::2].fill_(value)
            a[1:, ::2].fill_(value)
            assert torch.equal(on_device.cpu(), a)
            on_device.conj().fill_(value)
            assert torch.equal(on_device.cpu(), torch.full_like(a, value).conj().resolve_conj())
    assert torch.equal(torch.full((3, 2), 1j, device=DEVICE).cpu(), torch.full((3, 2), 1j))
    assert torch.equal(torch.ones(3, dtype=torch.complex64, device=DEVICE).cpu(), torch.ones(3) + 0j)


def test_quotients_of_large_numbers_do_not_overflow() -> None:
    a = torch.tensor([3e30 + 4e30j, 1e-30 - 1e-30j])
    torch.testing.assert_close((a.to(DEVICE) / a.to(DEVICE)).cpu(), torch.ones(2, dtype=torch.complex64))


def test_rotary_embedding_in_complex_numbers() -> None:
    angles = torch.outer(torch.arange(6.0), 10000 ** (-torch.arange(4.0) / 4))

    def rotate(x: Tensor) -> Tensor:
        turns = torch.polar(torch.ones_like(angles), angles).to(x.device) * 0.5
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns[:, None]).flatten(3)

    check(rotate, torch.randn(2, 6, 3, 8, generator=torch.Generator().manual_seed(4)))
