"""Products of matrices and vectors, drawn at random: operator, dtype, layout, conjugate and negative views, sizes,
factors, in-place and out= forms. Integers wrap around bit for bit as the CPU's, complex numbers keep both parts."""

from __future__ import annotations

import random
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE

INTEGERS = [torch.int8, torch.uint8, torch.int16, torch.int32, torch.int64]
COMPLEX = [torch.complex64, torch.complex128]
FLOATS = [torch.float32, torch.float64, torch.bfloat16, torch.float16]
BOUNDS = {torch.float64: 1e-13, torch.complex128: 1e-13, torch.float32: 3e-6, torch.complex64: 3e-6}
HALF_BOUND = {torch.bfloat16: 1e-2, torch.float16: 2e-3}
WITH_ADDEND = {"addmm": "mm", "addmv": "mv", "addr": "outer", "addbmm": "bmm", "baddbmm": "bmm"}
OPERATORS = [*WITH_ADDEND, "mm", "mv", "bmm", "dot", "vdot", "outer", "matmul", "einsum", "linear", "inner"]


def drawn(shape: tuple[int, ...], dtype: torch.dtype, generator: random.Random) -> Tensor:
    """Numbers over the whole range of an integer dtype, in one of several layouts."""
    seed = torch.Generator().manual_seed(generator.randrange(1 << 30))
    layout = generator.choice(["dense", "turned", "gaps", "shifted"]) if shape else "dense"
    stored = list(shape)
    if layout == "turned":
        stored = stored[::-1]
    elif layout == "gaps":
        stored = [2 * size + 1 for size in stored]
    elif layout == "shifted":
        stored[-1] += 3
    if dtype in INTEGERS:
        info = torch.iinfo(dtype)
        values = torch.randint(info.min, info.max, stored, dtype=dtype, generator=seed)
    else:
        values = torch.randn(stored, dtype=torch.complex128 if dtype.is_complex else torch.float64, generator=seed)
        values = values.to(dtype)
    if layout == "turned":
        values = values.permute(*range(len(stored) - 1, -1, -1))
    elif layout == "gaps":
        values = values[tuple(slice(1, None, 2) for _ in stored)]
    elif layout == "shifted":
        values = values[..., 3:]
    if dtype.is_complex and generator.random() < 0.4:
        values = values.conj()
    if not dtype.is_complex and dtype not in INTEGERS and generator.random() < 0.1:
        values = torch.complex(values.float(), values.float()).conj().imag.to(dtype)
    assert values.shape == torch.Size(shape)
    return values


def moved(tensor: Tensor) -> Tensor:
    """The same strides, and the same lazy conjugate, on the device."""
    if tensor.is_conj():
        return moved(tensor.conj()).conj()
    plain = tensor.resolve_neg()
    copy = torch.empty_strided(plain.size(), plain.stride(), dtype=plain.dtype, device=DEVICE)
    return copy.copy_(plain)


def shapes_of(name: str, generator: random.Random) -> list[tuple[int, ...]]:
    """The operands' shapes, an addend's first."""
    b, m, k, n = (generator.choice(sizes) for sizes in ([0, 1, 2, 5], *[[0, 1, 2, 7, 16, 33, 70, 129]] * 3))
    batch = max(b, 1)
    return {
        "mm": [(m, k), (k, n)],
        "addmm": [generator.choice([(m, n), (n,), (1, n), (m, 1), ()]), (m, k), (k, n)],
        "mv": [(m, k), (k,)],
        "addmv": [generator.choice([(m,), (1,), ()]), (m, k), (k,)],
        "bmm": [(b, m, k), (b, k, n)],
        "baddbmm": [generator.choice([(b, m, n), (n,), (m, 1), (1, m, n)]), (b, m, k), (b, k, n)],
        "addbmm": [generator.choice([(m, n), (n,)]), (batch, m, k), (batch, k, n)],
        "dot": [(k,), (k,)],
        "vdot": [(k,), (k,)],
        "outer": [(m,), (n,)],
        "addr": [generator.choice([(m, n), (n,)]), (m,), (n,)],
        "matmul": [(b, 1, m, k), (2, k, n)],
        "einsum": [(m, k), (n, k)],
        "linear": [(b, m, k), (n, k)],
        "inner": [(m, k), (n, k)],
    }[name]


def factor(dtype: torch.dtype, generator: random.Random) -> Any:
    if dtype in INTEGERS:
        return generator.choice([0, 1, 2, 3, 2.0] if dtype == torch.uint8 else [0, 1, -1, 3, -117, 2.0])
    if dtype.is_complex:
        return generator.choice([0, 1, -0.5, 1j, 0.25 - 2j])
    return generator.choice([0, 1, -1, 0.5])


def check(seed: int, dtypes: list[torch.dtype]) -> None:
    generator = random.Random(seed)
    name, dtype = generator.choice(OPERATORS), generator.choice(dtypes)
    operands = [drawn(shape, dtype, generator) for shape in shapes_of(name, generator)]
    options: dict[str, Any] = {}
    if name in WITH_ADDEND:
        options = {"alpha": factor(dtype, generator), "beta": factor(dtype, generator)}
        # The CPU takes whole floats as factors of integers, but not in addr and not where there is nothing to multiply.
        if dtype in INTEGERS and (name == "addr" or any(operand.numel() == 0 for operand in operands)):
            options = {key: int(value) for key, value in options.items()}
        if name == "addmv" and operands[1].numel() == 0:
            # The CPU then gives beta * self as it is, not in the product's shape.
            operands[0], options["beta"] = operands[0].expand(operands[1].shape[0]).contiguous(), 1
        if options["beta"] == 0 and dtype not in INTEGERS and name != "addr":
            operands[0] = torch.full_like(operands[0], float("nan"))

    def call(tensors: list[Tensor]) -> Tensor:
        if name == "einsum":
            return torch.einsum("ik,jk->ij", *tensors)
        if name == "linear":
            return torch.nn.functional.linear(*tensors)
        return getattr(torch, name)(*tensors, **options)

    wide = torch.complex128 if dtype.is_complex else torch.float64
    exact = dtype in INTEGERS
    want = call([tensor if exact else tensor.to(wide) for tensor in operands]).to(dtype)
    on_device = [moved(tensor) for tensor in operands]
    form = generator.choice(["new", "new", "out", "in place"])
    if form == "out" and name not in ("einsum", "linear", "matmul"):
        out = moved(drawn(tuple(want.shape), dtype, generator))
        got = getattr(torch, name)(*on_device, **options, out=out)
        assert got is out
    elif form == "in place" and name in WITH_ADDEND and operands[0].shape == want.shape:
        got = getattr(on_device[0], name + "_")(*on_device[1:], **options)
        assert got is on_device[0]
    else:
        got = call(on_device)
    told = f"seed {seed}: {name} {form} {options} of {[(t.shape, t.stride()) for t in operands]} in {dtype}"
    assert got.dtype == dtype and got.shape == want.shape, told
    result = got.cpu().resolve_conj()
    if exact:
        assert torch.equal(result, want), told
        return
    assert torch.equal(result.isfinite(), want.isfinite()), told
    error = (result.to(wide) - want.to(wide)).norm() / max(float(want.to(wide).norm()), 1e-30)
    assert float(error) <= {**BOUNDS, **HALF_BOUND}[dtype], f"{told}: error {float(error)}"


@pytest.mark.parametrize("seed", range(60))
def test_products(seed: int) -> None:
    check(seed, INTEGERS + COMPLEX + FLOATS)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(1000, 2500))
def test_many_products(seed: int) -> None:
    check(seed, INTEGERS + COMPLEX + FLOATS)


@pytest.mark.parametrize("dtype", COMPLEX)
def test_gradients_of_complex_products(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(3)
    leaves = [torch.randn(shape, dtype=dtype, generator=generator) for shape in ((5, 7), (7, 4), (5, 4))]
    gradients = []
    for place in ("cpu", DEVICE):
        own = [leaf.detach().clone().to(place).requires_grad_() for leaf in leaves]
        product = torch.addmm(own[2], own[0].conj(), own[1], alpha=0.5 - 1j, beta=2j)
        (product * product.conj()).real.sum().backward()
        gradients.append([leaf.grad.cpu() for leaf in own])
    bound = 1e-5 if dtype == torch.complex64 else 1e-12
    for ours, cpus in zip(gradients[1], gradients[0], strict=True):
        torch.testing.assert_close(ours, cpus, rtol=bound, atol=bound * float(cpus.abs().max()))


@pytest.mark.parametrize("dtype", INTEGERS)
def test_sums_of_many_extreme_products_wrap(dtype: torch.dtype) -> None:
    """3,000 products of the dtype's ends: exact where float64 has long lost the last bits."""
    info = torch.iinfo(dtype)
    ends = torch.tensor([info.min, info.max, info.max - 1, 1], dtype=dtype)
    generator = torch.Generator().manual_seed(1)
    a, b = (ends[torch.randint(0, 4, shape, generator=generator)] for shape in ((3, 3000), (3000, 5)))
    assert torch.equal((a.to(DEVICE) @ b.to(DEVICE)).cpu(), a @ b)


@pytest.mark.parametrize("name", list(WITH_ADDEND))
def test_fractional_factors_of_integers_go_as_on_the_cpu(name: str) -> None:
    """Their fraction is dropped, but addr refuses them."""
    shapes = {"addmm": [(2, 2)] * 3, "addmv": [(2,), (2, 2), (2,)], "addr": [(2, 2), (2,), (2,)]}
    shapes |= {"addbmm": [(2, 2), (1, 2, 2), (1, 2, 2)], "baddbmm": [(1, 2, 2)] * 3}
    for dtype in INTEGERS:
        operands = [torch.randint(1, 5, shape, dtype=dtype) for shape in shapes[name]]
        there = [operand.to(DEVICE) for operand in operands]
        for options in ({"alpha": 1.5}, {"beta": 0.5}, {"alpha": 2.9, "beta": 3.1}):
            if name == "addr":
                for given in (operands, there):
                    with pytest.raises(RuntimeError, match="must not be a floating point number"):
                        torch.addr(*given, **options)
            else:
                want = getattr(torch, name)(*operands, **options)
                assert torch.equal(getattr(torch, name)(*there, **options).cpu(), want)


def test_factors_beyond_the_dtype_are_refused_as_on_the_cpu() -> None:
    for place in ("cpu", DEVICE):
        ones = torch.ones(2, 2, dtype=torch.int8, device=place)
        with pytest.raises(RuntimeError, match="overflow"):
            torch.addmm(ones, ones, ones, alpha=300)


@pytest.mark.parametrize("dtype", [torch.bool, torch.uint16])
@pytest.mark.parametrize("name", ["mm", "mv", "bmm", "dot", "vdot", "addmm", "addmv", "addbmm", "baddbmm"])
def test_dtypes_without_products_are_refused_as_on_the_cpu(name: str, dtype: torch.dtype) -> None:
    for place in ("cpu", DEVICE):
        matrix = torch.ones(2, 2).to(dtype).to(place)
        vector, batch = matrix[0], matrix[None]
        operands = {"mm": [matrix] * 2, "mv": [matrix, vector], "bmm": [batch] * 2, "dot": [vector] * 2}
        operands |= {"vdot": [vector] * 2, "addmm": [matrix] * 3, "addmv": [vector, matrix, vector]}
        operands |= {"addbmm": [matrix, batch, batch], "baddbmm": [batch] * 3}
        with pytest.raises(NotImplementedError, match="not implemented for"):
            getattr(torch, name)(*operands[name])


def test_mixed_dtypes_are_refused_as_on_the_cpu() -> None:
    for place in ("cpu", DEVICE):
        matrix = torch.ones(2, 2, device=place)
        wide, batch = matrix.double(), matrix[None]
        for call in (
            lambda m=matrix, w=wide: torch.addmm(w, m, m),
            lambda m=matrix, w=wide: torch.addmv(w[0], m, m[0]),
            lambda b=batch, w=wide: torch.baddbmm(w[None], b, b),
            lambda b=batch, w=wide: torch.addbmm(w, b, b),
            lambda m=matrix, w=wide: torch.mm(m, w),
        ):
            with pytest.raises(RuntimeError):
                call()
