"""Special functions of the element-wise table: values, edges, dtypes, orders of polynomials, gradients, refusals."""

import math
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor, special

from tests.operators.comparison import DEVICE, assert_matches, compare, random_tensor

INFINITY = float("inf")
EDGES = [0.0, -0.0, 1.0, -1.0, 0.5, -2.0, 3.0, INFINITY, -INFINITY, float("nan")]
ANY = (
    *("digamma", "special_i0e", "special_i1e", "special_entr", "special_erfcx", "special_log_ndtr", "angle"),
    *("special_airy_ai", "special_spherical_bessel_j0"),
)
POSITIVE = (
    *("special_modified_bessel_k0", "special_modified_bessel_k1", "special_scaled_modified_bessel_k0"),
    "special_scaled_modified_bessel_k1",
)
POLYNOMIALS = (
    *(f"{shift}chebyshev_polynomial_{kind}" for shift in ("", "shifted_") for kind in "tuvw"),
    *("hermite_polynomial_h", "hermite_polynomial_he", "laguerre_polynomial_l", "legendre_polynomial_p"),
)


def operator(name: str) -> Callable[..., Tensor]:
    return getattr(torch, name, None) or getattr(special, name.removeprefix("special_"))


@pytest.mark.parametrize("name", [*ANY, *POSITIVE, "special_ndtri"])
def test_one_operand(name: str) -> None:
    function = operator(name)
    low, high = (0.01, 0.99) if name == "special_ndtri" else (0.05, 9.0) if name in POSITIVE else (-9.0, 9.0)
    # Beyond -2, CPU torch's own Airy function is off by 1e-5 in float64.
    low = max(low, -2.0) if name == "special_airy_ai" else low
    for dtype in (torch.float32, torch.float64):
        compare(function, random_tensor(3, 71, dtype=dtype, low=low, high=high))
    compare(function, random_tensor(5, 6, low=low, high=high).t()[:, ::2], bound=2e-6)
    compare(function, torch.empty(0, 3))
    edges = torch.tensor(EDGES, dtype=torch.float64)
    torch.testing.assert_close(function(edges.to(DEVICE)).cpu(), function(edges), rtol=1e-7, atol=1e-12, equal_nan=True)
    whole = torch.tensor([1, 2, 3], dtype=torch.int32)
    assert function(whole.to(DEVICE)).dtype == function(whole).dtype


@pytest.mark.parametrize("order", [0, 1, 2, 5])
def test_polygamma(order: int) -> None:
    compare(lambda x: torch.polygamma(order, x), random_tensor(201, dtype=torch.float64, low=-7, high=9))
    compare(lambda x: torch.polygamma(order, x), random_tensor(7, 5, low=0.1, high=20), gradients=True)
    with pytest.raises(RuntimeError):
        torch.polygamma(-1, torch.ones(3, device=DEVICE))


def test_zeta() -> None:
    x, q = random_tensor(151, dtype=torch.float64, low=1.1, high=40), random_tensor(151, dtype=torch.float64, low=0.1)
    compare(special.zeta, x, q + 3)
    compare(special.zeta, x.round() + 1, q * 10)
    compare(special.zeta, random_tensor(3, 1, low=2, high=5), random_tensor(4, low=1, high=5))
    compare(lambda t: special.zeta(t, 2.0), x)
    compare(special.zeta, *torch.cartesian_prod(torch.tensor(EDGES[:-3]), torch.tensor(EDGES[:-3])).unbind(1))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_zeta_of_negative_numbers(dtype: torch.dtype) -> None:
    """The number of terms is that of any other operand, where CPU torch's grows with -q."""
    q = torch.tensor([-1e-3, -0.5, -0.99, -3.7, -8.5, -77.125, -4000.25], dtype=dtype)
    for x in (2, 3, 4, 7):
        compare(special.zeta, torch.full_like(q, x), q)
    far = torch.tensor([-1e6 - 0.5, -1e15 - 0.5], dtype=torch.float64)
    limit = torch.full((2,), math.pi**2, dtype=torch.float64)
    assert_matches(special.zeta(torch.full_like(far, 2).to(DEVICE), far.to(DEVICE)), limit - 1 / far.abs())
    # Of an odd exponent the terms beside zero cancel, and those from 3.5 on remain.
    rest = [torch.tensor([number], dtype=torch.float64) for number in (25, -2.5, 3.5)]
    assert_matches(special.zeta(rest[0].to(DEVICE), rest[1].to(DEVICE)), special.zeta(rest[0], rest[2]))


@pytest.mark.parametrize("name", ["igamma", "igammac"])
def test_incomplete_gamma(name: str) -> None:
    function = operator(name)
    for scale in (0.1, 1.0, 10.0, 300.0, 1e5):
        a = random_tensor(97, dtype=torch.float64, low=0.01, high=2) * scale
        for x in (a * random_tensor(97, dtype=torch.float64, low=0.1), a + a.sqrt() * random_tensor(97)):
            # CPU torch's own transition between the two is right to 1e-9.
            compare(function, a, x.abs(), bound=2e-9)
    compare(function, *torch.cartesian_prod(torch.tensor(EDGES), torch.tensor(EDGES)).unbind(1))
    a, x = random_tensor(9, low=0.5), random_tensor(9, low=0.5)
    got = x.to(DEVICE).requires_grad_()
    function(a.to(DEVICE), got).sum().backward()
    wanted = x.requires_grad_()
    function(a, wanted).sum().backward()
    torch.testing.assert_close(got.grad.cpu(), wanted.grad)  # type: ignore[union-attr]


def bits_alone_and_among_others(function: Callable[..., Tensor], *operands: Tensor) -> None:
    """An element's bits are its own: not those of the tile that it is computed in."""
    on_device = [each.to(DEVICE) for each in operands]
    among = function(*on_device).cpu()
    for i in range(0, len(operands[0]), 30):
        alone = function(*(each[i : i + 1] for each in on_device)).cpu()
        assert torch.equal(alone.view(torch.uint8), among[i : i + 1].view(torch.uint8)), (
            i,
            [each[i] for each in operands],
        )


@pytest.mark.parametrize("name", ["igamma", "igammac", "_dirichlet_grad", "special_zeta", "polygamma"])
def test_series_end_element_by_element(name: str) -> None:
    function = operator(name)
    a = 10 ** (5 * torch.rand(900, dtype=torch.float64) - 2)
    if name == "special_zeta":
        bits_alone_and_among_others(function, 1 + a.clamp_max(40), a + random_tensor(900, low=-9).double())
    elif name == "polygamma":
        bits_alone_and_among_others(lambda x: function(3, x), a)
    elif name == "_dirichlet_grad":
        bits_alone_and_among_others(function, torch.rand(900, dtype=torch.float64), a, a + a.flip(0))
    else:
        bits_alone_and_among_others(function, a, a * 2 * torch.rand(900, dtype=torch.float64))


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials_end_element_by_element(name: str) -> None:
    """The larger ones are beyond all numbers after a few steps."""
    x = 10 ** (200 * torch.rand(900, dtype=torch.float64)) * torch.randn(900).sign()
    bits_alone_and_among_others(getattr(special, name), x, torch.randint(0, 60, (900,)).double())


@pytest.mark.parametrize("name", POLYNOMIALS)
def test_polynomials(name: str) -> None:
    function = getattr(special, name)
    order = torch.randint(-2, 40, (301,))
    for dtype in (torch.float64, torch.float32):
        compare(function, random_tensor(301, dtype=dtype, low=-2), order.to(dtype))
    compare(function, random_tensor(5, 1), torch.arange(7.0))
    compare(lambda x: function(x, 3), random_tensor(9))
    compare(lambda n: function(0.3, n), torch.arange(12.0))
    compare(function, torch.tensor([1.0, -1.0, 0.0]).repeat_interleave(5), torch.arange(5.0).repeat(3))
    compare(function, torch.tensor([0.5, 0.5]), torch.tensor([float("nan"), 2.7]))
    whole = torch.tensor([1, 2, 3], dtype=torch.int32)
    assert function(whole.to(DEVICE), whole.to(DEVICE)).dtype == torch.float32


@pytest.mark.parametrize("dtype", [torch.float64, torch.float32, torch.float16, torch.bfloat16])
def test_numbers_taken_apart(dtype: torch.dtype) -> None:
    tiny = torch.finfo(dtype).smallest_normal
    edges = torch.tensor([*EDGES, tiny, tiny / 4, torch.finfo(dtype).max], dtype=torch.float64)
    x = torch.cat([random_tensor(50, dtype=dtype), edges.to(dtype)])
    y = torch.cat([x[1:], x[:1]])
    for a, b in ((x, y), (y, x), (x, x)):
        got = torch.nextafter(a.to(DEVICE), b.to(DEVICE)).cpu()
        torch.testing.assert_close(got, torch.nextafter(a, b), rtol=0, atol=0, equal_nan=True)
    got, wanted = torch.frexp(x.to(DEVICE)), torch.frexp(x)
    torch.testing.assert_close(got.mantissa.cpu(), wanted.mantissa, rtol=0, atol=0, equal_nan=True)
    finite = x.isfinite()
    assert torch.equal(got.exponent.cpu()[finite], wanted.exponent[finite])
    with pytest.raises(RuntimeError, match="floating-point"):
        torch.frexp(torch.ones(3, dtype=torch.int32, device=DEVICE))


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64])
def test_divisors(dtype: torch.dtype) -> None:
    low = 0 if dtype == torch.uint8 else -12
    a, b = torch.randint(low, 13, (7, 1, 9)).to(dtype), torch.randint(low, 13, (5, 9)).to(dtype)
    for function in (torch.gcd, torch.lcm):
        compare(function, a, b)
        with pytest.raises(NotImplementedError):
            function(torch.ones(3, device=DEVICE), torch.ones(3, device=DEVICE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.bfloat16, torch.float16], ids=str)
@pytest.mark.parametrize("beta", [None, 0.0, 5.5, 14.0])
def test_kaiser_window(dtype: torch.dtype, beta: float | None) -> None:
    more = {} if beta is None else {"beta": beta}
    for length in (0, 1, 2, 10, 33, 1001):
        for periodic in (False, True):
            got = torch.kaiser_window(length, periodic, **more, dtype=dtype, device=DEVICE)
            assert got.dtype == dtype
            assert_matches(got, torch.kaiser_window(length, periodic, **more, dtype=torch.float64))


def test_outputs_and_halves() -> None:
    x = random_tensor(4, 6, low=0.2)
    for function in (special.xlog1py, torch.igamma):
        compare(function, x, x, bound=1e-6)
        out = torch.empty(0, device=DEVICE)
        function(x.to(DEVICE), x.to(DEVICE), out=out)
        torch.testing.assert_close(out.cpu(), function(x, x))
    calls: list[Callable[[Any], Tensor]] = [torch.digamma, torch.igamma, special.entr, special.i0e]
    for half in (torch.float16, torch.bfloat16):
        for call in calls:
            operands = [x.to(half)] * (2 if call is torch.igamma else 1)
            compare(call, *operands)
    compare(lambda t: torch.mvlgamma(t, 3), x + 3, gradients=True)


def test_logit_backward_and_in_place_division() -> None:
    x = torch.tensor([0.0, 1.0, 0.3, -0.1, 1.2, 0.001, float("nan")])
    for eps in (None, 0.01):
        compare(lambda g, t, e=eps: torch.ops.aten.logit_backward(g, t, e), torch.ones(7), x)
    # As in the CPU's vector loops; its last elements lose the sign.
    ends = torch.tensor([0.0, -0.0, 1.0, 0.5], dtype=torch.float64).repeat(16)
    compare(torch.ops.aten.logit_backward, torch.full_like(ends, 2), ends)
    a = torch.tensor([5, -7, 9])
    assert torch.equal(a.to(DEVICE).floor_divide_(torch.tensor([2, 2, 4]).to(DEVICE)).cpu(), torch.tensor([2, -4, 2]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64], ids=str)
def test_polynomials_at_infinity_are_their_limits(dtype: torch.dtype) -> None:
    """CPU torch has them up to order 2; beyond, it subtracts infinities."""
    ends = torch.tensor([INFINITY, -INFINITY], dtype=dtype, device=DEVICE)
    for kind in POLYNOMIALS:
        for order in (0, 1, 2, 3, 8, 9):
            falls = order if kind.startswith("laguerre") else 0
            want = [1.0, 1.0] if order == 0 else [INFINITY * (-1) ** falls, INFINITY * (-1) ** (order + falls)]
            assert getattr(special, kind)(ends, order).tolist() == want, (kind, order)
        assert getattr(special, kind)(ends * 0, 3).isnan().all()
