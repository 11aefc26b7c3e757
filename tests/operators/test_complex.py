"""Complex numbers: arithmetic, functions, reductions and scans with gradients, and rotary embeddings."""

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE

INFINITY, NAN = float("inf"), float("nan")


def complex_tensor(*shape: int, dtype: torch.dtype = torch.complex64, seed: int = 0) -> Tensor:
    return torch.randn(shape, dtype=dtype, generator=torch.Generator().manual_seed(seed))


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


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128], ids=str)
def test_infinities(dtype: torch.dtype) -> None:
    """Each part is NaN, infinite or zero where the CPU's is."""
    ends = torch.tensor([0.0, -0.0, 1.0, -2.0, INFINITY, -INFINITY, NAN], dtype=dtype.to_real())
    z = torch.complex(*torch.cartesian_prod(ends, ends).unbind(1))

    def compare_parts(function: Callable[..., Tensor], *operands: Tensor) -> None:
        got = torch.view_as_real(function(*(operand.to(DEVICE) for operand in operands)).cpu())
        torch.testing.assert_close(got, torch.view_as_real(function(*operands)), rtol=1e-5, atol=1e-6, equal_nan=True)

    for function in (torch.reciprocal, torch.rsqrt, torch.exp, torch.expm1, torch.exp2, torch.sinh, torch.cosh):
        compare_parts(function, z)
    for function in (torch.tanh, torch.cos, torch.tan):
        compare_parts(function, z)
    # Without an angle the sign of infinity is either.
    compare_parts(torch.sin, z[z.real.isfinite() | z.imag.isfinite()])
    for numerator in (1 + 1j, 0j, complex(INFINITY, 1), complex(1, NAN)):
        compare_parts(torch.div, torch.full_like(z, numerator), z)
    far = torch.tensor([complex(-INFINITY, -1e-19), complex(INFINITY, 1)], dtype=dtype)
    compare_parts(lambda exponent: torch.float_power(9, exponent), far)


def test_rotary_embedding_in_complex_numbers() -> None:
    angles = torch.outer(torch.arange(6.0), 10000 ** (-torch.arange(4.0) / 4))

    def rotate(x: Tensor) -> Tensor:
        turns = torch.polar(torch.ones_like(angles), angles).to(x.device) * 0.5
        pairs = torch.view_as_complex(x.reshape(*x.shape[:-1], -1, 2))
        return torch.view_as_real(pairs * turns[:, None]).flatten(3)

    check(rotate, torch.randn(2, 6, 3, 8, generator=torch.Generator().manual_seed(4)))


UNARY = (
    *("abs", "angle", "sgn", "exp", "exp2", "expm1", "log", "log2", "log10", "log1p", "sqrt", "rsqrt", "reciprocal"),
    *(
        "sin",
        "cos",
        "tan",
        "asin",
        "acos",
        "atan",
        "sinh",
        "cosh",
        "tanh",
        "asinh",
        "acosh",
        "atanh",
        "sigmoid",
        "sinc",
    ),
    *("square", "neg", "conj_physical", "isnan", "isinf", "isfinite", "logical_not"),
)
NUMBERS = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 30.0, -300.0]


@pytest.mark.parametrize("name", UNARY)
def test_functions(name: str) -> None:
    function = getattr(torch, name)
    for dtype, tolerance in ((torch.complex64, 2e-6), (torch.complex128, 1e-12)):
        a = complex_tensor(7, 33, dtype=dtype) * 2
        wanted = function(a.to(torch.complex128))
        for given in (a, a.t(), a[:, ::2]):
            got = function(given.to(DEVICE))
            assert got.dtype == function(given).dtype
            exact = function(given.to(torch.complex128)).to(got.dtype)
            torch.testing.assert_close(got.cpu(), exact, rtol=tolerance, atol=tolerance)
        assert function(a[:0].to(DEVICE)).shape == wanted[:0].shape
    if name == "sigmoid":  # CPU torch's own overflows
        return
    pairs = torch.cartesian_prod(*[torch.tensor(NUMBERS, dtype=torch.float64)] * 2)
    edges = torch.complex(pairs[:, 0].contiguous(), pairs[:, 1].contiguous())
    got = function(edges.to(DEVICE)).cpu()
    torch.testing.assert_close(got, function(edges), rtol=1e-9, atol=1e-12, equal_nan=True)


@pytest.mark.parametrize("name", ["exp", "log", "sqrt", "sin", "tanh", "asin", "atan", "abs", "reciprocal", "sigmoid"])
def test_gradients_of_functions(name: str) -> None:
    check(getattr(torch, name), complex_tensor(3, 5))


def test_functions_of_several() -> None:
    a, b = complex_tensor(5, 1, 7) + 2, complex_tensor(3, 7, seed=1) * 0.5
    check(torch.pow, a, b)
    check(torch.logaddexp, a, b)
    check(lambda x: x**2.5, a)
    check(lambda x: x**3, a)
    check(lambda x: 2**x, b)
    check(lambda x, y: torch.addcmul(x, x, y, value=0.5 + 1j), a, b)
    check(lambda x, y: torch.addcdiv(x, y, x, value=0.5), a, b)
    check(lambda x, y: torch.lerp(x, y.expand_as(x + y), 0.3), a, b)
    check(lambda x, y: torch.where(y.real > 0, x, y), a, b)
    check(lambda x: x.masked_fill(x.real > 2, 1j), a)
    for function in (torch.eq, torch.ne, torch.logical_and, torch.logical_or, torch.logical_xor):
        assert torch.equal(function(a.to(DEVICE), b.to(DEVICE)).cpu(), function(a, b))
    with pytest.raises(RuntimeError, match="complex"):
        torch.maximum(a.to(DEVICE), b.to(DEVICE))
    out = torch.empty(0, dtype=torch.complex128, device=DEVICE)
    torch.mul(a.to(DEVICE), b.to(DEVICE), out=out)
    torch.testing.assert_close(out.cpu(), (a * b).to(torch.complex128))
    with pytest.raises(RuntimeError, match="shape"):
        b[:1].to(DEVICE).mul_(a.to(DEVICE))


def test_reductions_and_scans() -> None:
    a = complex_tensor(3, 5, 7)
    for dim in (0, 1, -1, None):
        keywords = {} if dim is None else {"dim": dim}
        for function in (torch.sum, torch.mean, torch.prod, torch.linalg.vector_norm):
            check(lambda x, f=function, k=keywords: f(x, **k), a)
        for order in (0, 1, 3, float("inf"), -float("inf")):
            got = torch.linalg.vector_norm(a.to(DEVICE), order, dim)
            torch.testing.assert_close(got.cpu(), torch.linalg.vector_norm(a, order, dim))
        for moment in (torch.var, torch.std, torch.var_mean, torch.std_mean):
            torch.testing.assert_close(
                torch.utils._pytree.tree_map(lambda t: t.cpu(), moment(a.to(DEVICE), dim)), moment(a, dim)
            )
        for truth in (torch.any, torch.all):
            assert torch.equal(truth(a.to(DEVICE), **keywords).cpu(), truth(a, **keywords))
    for scan in (torch.cumsum, torch.cumprod, torch.logcumsumexp):
        check(lambda x, f=scan: f(x, 1), a)
    longer = complex_tensor(40, 12, dtype=torch.complex128) * 5
    torch.testing.assert_close(torch.logcumsumexp(longer.to(DEVICE), 1).cpu(), torch.logcumsumexp(longer, 1))
    assert torch.equal(longer.to(DEVICE).conj_physical_().cpu(), longer.conj())
    assert torch.equal(torch.prod(a[:0].to(DEVICE), 0).cpu(), torch.prod(a[:0], 0))
    assert torch.equal(torch.triu(a.to(DEVICE), 1).cpu(), torch.triu(a, 1))


def test_made_of_parts() -> None:
    real, imaginary = complex_tensor(3, 1).real, complex_tensor(4, seed=1).real
    assert torch.equal(torch.complex(real.to(DEVICE), imaginary.to(DEVICE)).cpu(), torch.complex(real, imaginary))
    with pytest.raises(RuntimeError):
        torch.complex(real.to(DEVICE), imaginary.double().to(DEVICE))
    for dtype in (torch.float32, torch.float64):
        size, angle = real.to(dtype), imaginary.to(dtype) * 5
        torch.testing.assert_close(torch.polar(size.to(DEVICE), angle.to(DEVICE)).cpu(), torch.polar(size, angle))
    out = torch.full((4, 3), torch.nan, dtype=torch.complex128, device=DEVICE).t()
    torch.polar(size.to(DEVICE), angle.to(DEVICE), out=out)
    torch.testing.assert_close(out.cpu(), torch.polar(size, angle))
    with pytest.raises(RuntimeError, match="Double for second argument"):
        torch.polar(real.to(DEVICE), imaginary.double().to(DEVICE))
    got = torch.logspace(1 + 1j, 2 - 1j, 5, dtype=torch.complex64, device=DEVICE)
    torch.testing.assert_close(got.cpu(), torch.logspace(1 + 1j, 2 - 1j, 5, dtype=torch.complex64))
