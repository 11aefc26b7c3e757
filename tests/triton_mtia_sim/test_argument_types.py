"""Tensors of types that Triton's front end does not name: scales of OCP MX and packed four-bit floats."""

import pytest
import torch
import triton
import triton.language as tl

DEVICE = "mtia_sim"
E2M1 = torch.tensor([0, 0.5, 1, 1.5, 2, 3, 4, 6, -0.0, -0.5, -1, -1.5, -2, -3, -4, -6], dtype=torch.float64)


@triton.jit
def scaled(
    a, a_scale, b, b_scale, out, M: tl.constexpr, N: tl.constexpr, K: tl.constexpr, A: tl.constexpr, PACK: tl.constexpr
):
    rows, columns, depth = tl.arange(0, M), tl.arange(0, N), tl.arange(0, K)
    packed, groups = tl.arange(0, K // PACK), tl.arange(0, K // 32)
    left = tl.load(a + rows[:, None] * (K // PACK) + packed[None, :])
    right = tl.load(b + depth[:, None] * N + columns[None, :])
    left_scale = tl.load(a_scale + rows[:, None] * (K // 32) + groups[None, :])
    right_scale = tl.load(b_scale + columns[:, None] * (K // 32) + groups[None, :])
    product = tl.dot_scaled(left, left_scale, A, right, right_scale, "e4m3")
    tl.store(out + rows[:, None] * N + columns[None, :], product)


@pytest.mark.parametrize("kind", ["e4m3", "e5m2", "e2m1"])
def test_scales_of_eight_exponent_bits(kind):
    """Scales as float8_e8m0fnu and as their bytes, against float64."""
    m, n, k = 32, 16, 64
    generator = torch.Generator().manual_seed(1)
    exponents = [torch.randint(118, 136, (count, k // 32), generator=generator, dtype=torch.uint8) for count in (m, n)]
    if kind == "e2m1":
        codes = torch.randint(0, 16, (m, k), generator=generator)
        a = (codes[:, ::2] | codes[:, 1::2] << 4).to(torch.uint8)
        exact, views = E2M1[codes], [torch.uint8, torch.float4_e2m1fn_x2]
    else:
        dtype = torch.float8_e4m3fn if kind == "e4m3" else torch.float8_e5m2
        a = torch.randn(m, k, generator=generator).to(dtype)
        exact, views = a.double(), [dtype]
    b = torch.randn(k, n, generator=generator).to(torch.float8_e4m3fn)
    factors = [(2.0 ** (item.double() - 127)).repeat_interleave(32, 1) for item in exponents]
    expected = (exact * factors[0]) @ (b.double() * factors[1].T)
    for view in views:
        for scale in (torch.uint8, torch.float8_e8m0fnu):
            out = torch.zeros(m, n, device=DEVICE)
            scales = [item.view(scale).to(DEVICE) for item in exponents]
            placed = (a.view(view).to(DEVICE), scales[0], b.to(DEVICE), scales[1])
            scaled[(1,)](*placed, out, M=m, N=n, K=k, A=kind, PACK=2 if kind == "e2m1" else 1)
            error = (out.cpu().double() - expected).norm() / expected.norm()
            assert error < 1e-6, (kind, view, scale)


@triton.jit
def bytes_of(x, out, N: tl.constexpr):
    tl.store(out + tl.arange(0, N), tl.load(x + tl.arange(0, N)))


@pytest.mark.parametrize("dtype", [torch.float8_e8m0fnu, torch.float4_e2m1fn_x2], ids=str)
def test_a_kernel_sees_the_bytes(dtype):
    numbers = torch.randint(0, 256, (64,), generator=torch.Generator().manual_seed(2), dtype=torch.uint8)
    out = torch.zeros(64, dtype=torch.uint8, device=DEVICE)
    bytes_of[(1,)](numbers.view(dtype).to(DEVICE), out, N=64)
    assert torch.equal(out.cpu(), numbers)
    back = torch.empty(64, dtype=dtype, device=DEVICE)
    bytes_of[(1,)](out, back, N=64)
    assert torch.equal(back.cpu().view(torch.uint8), numbers)
