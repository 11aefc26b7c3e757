"""Operands of tl.dot that lie in device memory are packed for the host once: never when they were written since."""

import pytest
import torch
import triton
import triton.language as tl


@triton.jit
def multiply_in_place(a, b, rounds, N: tl.constexpr):
    """b = a b, `rounds` times, each program its own b of N x N."""
    row = tl.arange(0, N)[:, None]
    column = tl.arange(0, N)[None, :]
    own = b + tl.program_id(0) * N * N + row * N + column
    left = tl.load(a + row * N + column)
    for _ in range(rounds):
        right = tl.load(own)
        product = tl.dot(left, right)
        tl.store(own, product.to(b.dtype.element_ty))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_product_reads_what_the_program_stored_before(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(1)
    programs, rounds, size = 300, 5, 32
    a = (torch.randn(size, size, generator=generator) / size**0.5).to(dtype)
    b = torch.randn(programs, size, size, generator=generator).to(dtype)
    on_device = b.to("mtia_sim")
    multiply_in_place[(programs,)](a.to("mtia_sim"), on_device, rounds, N=size)
    expected = b
    for _ in range(rounds):
        expected = (a.double() @ expected.double()).to(dtype)
    error = (on_device.cpu().double() - expected.double()).norm() / expected.double().norm()
    assert error < {torch.float32: 1e-6, torch.float16: 2e-3, torch.bfloat16: 1e-2}[dtype]


@triton.jit
def multiply_shared(a, b, out, N: tl.constexpr, SHARED: tl.constexpr):
    """out[i] = a[i] b: all programs read the same b, or each its own copy of it."""
    row = tl.arange(0, N)[:, None]
    column = tl.arange(0, N)[None, :]
    program = tl.program_id(0)
    left = tl.load(a + program * N * N + row * N + column)
    right = tl.load(b + (0 if SHARED else program * N * N) + column * N + row)
    tl.store(out + program * N * N + row * N + column, tl.dot(left, right))


@pytest.mark.parametrize("dtype", [torch.float32, torch.float16, torch.bfloat16])
def test_a_shared_operand_gives_the_bits_of_one_of_its_own(dtype: torch.dtype) -> None:
    generator = torch.Generator().manual_seed(2)
    programs, size = 70, 64
    a = torch.randn(programs, size, size, generator=generator).to(dtype).to("mtia_sim")
    b = torch.randn(size, size, generator=generator).to(dtype).to("mtia_sim")
    results = []
    for shared in (True, False):
        out = torch.full((programs, size, size), float("nan"), device="mtia_sim")
        operand = b if shared else b.expand(programs, size, size).contiguous()
        multiply_shared[(programs,)](a, operand, out, N=size, SHARED=shared)
        results.append(out.cpu())
    assert torch.equal(*results)
    expected = a.cpu().double() @ b.cpu().double().T
    assert (results[0].double() - expected).norm() / expected.norm() < 1e-5
