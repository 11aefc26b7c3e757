"""Products whose operands are used again and overwritten in between: no packed copy of them outlives a write.

All numbers are small integers, whose products and sums are exact in any order, so that one stale operand shows.
"""

import numpy
import pytest
import torch
import triton
import triton.language as tl

DTYPES = {"float32": torch.float32, "bfloat16": torch.bfloat16}


def small(numbers: numpy.ndarray, count: int) -> numpy.ndarray:
    """`count` integers about 0 again, so that the next product is exact too."""
    return numpy.mod(numbers, count) - count // 2


@triton.jit
def rewrite(buffers, ORDER: tl.constexpr, STEPS: tl.constexpr, SHARED: tl.constexpr, SIZE: tl.constexpr):
    """Four SIZE x SIZE matrices a program; each step makes one of them from the product of two. SHARED: matrix 0 is the
    first program's for all, and never written."""
    own = buffers + tl.program_id(0) * 4 * SIZE * SIZE
    i = tl.arange(0, SIZE)
    at = i[:, None] * SIZE + i[None, :]
    for step in tl.static_range(STEPS):
        left = (ORDER >> 6 * step) & 3
        right = (ORDER >> (6 * step + 2)) & 3
        target = (ORDER >> (6 * step + 4)) & 3
        left_base = buffers if SHARED and left == 0 else own + left * SIZE * SIZE
        right_base = buffers if SHARED and right == 0 else own + right * SIZE * SIZE
        product = tl.dot(tl.load(left_base + at), tl.load(right_base + at))
        product = product - 5 * tl.floor(product * 0.2) - 2
        if not (SHARED and target == 0):
            tl.store(own + target * SIZE * SIZE + at, product.to(buffers.dtype.element_ty))


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [*range(4), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(4, 40))])
def test_programs_that_overwrite_their_operands_multiply_what_they_wrote(seed: int, dtype: str) -> None:
    random = numpy.random.default_rng(seed)
    programs, size, steps, shared = int(random.integers(60, 200)), int(random.choice([16, 32, 64])), 10, seed % 2
    codes = random.integers(0, 64, steps)
    matrices = random.integers(-2, 3, (programs, 4, size, size)).astype(numpy.int64)
    device = torch.from_numpy(matrices).to(DTYPES[dtype]).to("mtia_sim")
    order = sum(int(code) << 6 * step for step, code in enumerate(codes))
    rewrite[(programs,)](device, order, steps, shared, size)
    for code in codes:
        left, right, target = (code >> shift & 3 for shift in (0, 2, 4))
        of = [matrices[:1, 0] if shared and side == 0 else matrices[:, side] for side in (left, right)]
        if not (shared and target == 0):
            matrices[:, target] = small(of[0] @ of[1], 5)
    numpy.testing.assert_array_equal(device.cpu().to(torch.int64).numpy(), matrices)


@pytest.mark.parametrize("dtype", DTYPES)
@pytest.mark.parametrize("seed", [*range(3), *(pytest.param(seed, marks=pytest.mark.slow) for seed in range(3, 30))])
def test_launches_that_overwrite_operands_multiply_what_was_written(seed: int, dtype: str) -> None:
    random = numpy.random.default_rng(100 + seed)  # sums of -1 to 1 over `size` are whole numbers of bfloat16
    size = int(random.choice([40, 96, 150, 224]))
    matrices = random.integers(-1, 2, (4, size, size)).astype(numpy.int64)
    device = [torch.from_numpy(matrix).to(DTYPES[dtype]).to("mtia_sim") for matrix in matrices]
    for _ in range(40):
        left, right, target = random.integers(0, 4, 3)
        rows = slice(int(random.integers(0, size // 2)), int(random.integers(size // 2, size)) + 1)
        match random.integers(0, 5):
            case 0:  # by a product's own store
                made = device[left] @ device[right].t()
                device[target][rows] = torch.remainder(made, 3)[rows] - 1
                matrices[target][rows] = small(matrices[left] @ matrices[right].T, 3)[rows]
            case 1:  # by a product into given memory
                if target not in (left, right):
                    torch.mm(device[left].t(), device[right], out=device[target])
                    device[target].remainder_(3).sub_(1)
                    matrices[target] = small(matrices[left].T @ matrices[right], 3)
            case 2:  # by a copy from the host
                fresh = random.integers(-1, 2, (size, size))
                device[target][rows] = torch.from_numpy(fresh).to(DTYPES[dtype])[rows].to("mtia_sim")
                matrices[target][rows] = fresh[rows]
            case 3:  # by a copy on the device
                device[target][rows].copy_(device[left][rows])
                matrices[target][rows] = matrices[left][rows]
            case _:  # in place, element by element
                device[target][rows].neg_()
                matrices[target][rows] = -matrices[target][rows]
    for tensor, matrix in zip(device, matrices, strict=True):
        numpy.testing.assert_array_equal(tensor.cpu().to(torch.int64).numpy(), matrix)
