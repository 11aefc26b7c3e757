"""Matrix products in every layout, batched, broadcast, with addends, and their gradients."""

import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches, compare, random_tensor

SHAPES = [(1, 1, 1), (3, 5, 7), (64, 64, 64), (130, 67, 33), (1, 300, 40), (257, 1, 5)]


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
@pytest.mark.parametrize("shape", SHAPES)
def test_mm(shape: tuple[int, int, int], dtype: torch.dtype) -> None:
    m, k, n = shape
    compare(torch.mm, random_tensor(m, k, dtype=dtype), random_tensor(k, n, dtype=dtype))


@pytest.mark.parametrize("left", [False, True])
@pytest.mark.parametrize("right", [False, True])
def test_transposed_operands(left: bool, right: bool) -> None:
    a, b = random_tensor(45, 20), random_tensor(20, 31)
    a = a.t().contiguous().t() if left else a
    b = b.t().contiguous().t() if right else b
    compare(torch.mm, a, b)
    compare(torch.mm, a[::2, 1:], b[1:, ::3])


def test_float64_and_integers() -> None:
    compare(torch.mm, random_tensor(9, 8, dtype=torch.float64), random_tensor(8, 7, dtype=torch.float64))
    compare(torch.mm, random_tensor(9, 8, dtype=torch.int64), random_tensor(8, 7, dtype=torch.int64))


@pytest.mark.parametrize(("beta", "alpha"), [(1, 1), (0, 1), (0.5, 2), (1, -1)])
def test_addends(beta: float, alpha: float) -> None:
    a, b, row, full = random_tensor(6, 9), random_tensor(9, 11), random_tensor(11), random_tensor(6, 11)
    compare(lambda c, x, y: torch.addmm(c, x, y, beta=beta, alpha=alpha), row, a, b)
    compare(lambda c, x, y: torch.addmm(c, x, y, beta=beta, alpha=alpha), full, a, b)
    batches = random_tensor(3, 6, 9), random_tensor(3, 9, 11)
    compare(lambda c, x, y: torch.baddbmm(c, x, y, beta=beta, alpha=alpha), full, *batches)
    compare(lambda c, x, y: torch.addmv(c, x, y, beta=beta, alpha=alpha), random_tensor(6), a, random_tensor(9))


def test_beta_zero_ignores_nan() -> None:
    c = torch.full((2, 2), float("nan"))
    compare(lambda c, a, b: torch.addmm(c, a, b, beta=0), c, random_tensor(2, 3), random_tensor(3, 2))


def test_matmul_forms() -> None:
    compare(torch.matmul, random_tensor(5), random_tensor(5))
    compare(torch.matmul, random_tensor(4, 5), random_tensor(5))
    compare(torch.matmul, random_tensor(2, 1, 4, 5), random_tensor(3, 5, 6))
    compare(lambda a, b: torch.einsum("bhqd,bhkd->bhqk", a, b), random_tensor(2, 3, 7, 4), random_tensor(2, 3, 5, 4))
    compare(lambda a, b: a.transpose(1, 2) @ b, random_tensor(2, 5, 7), random_tensor(2, 5, 3))
    compare(torch.outer, random_tensor(5), random_tensor(4))


def test_empty() -> None:
    compare(torch.mm, torch.empty(3, 0), torch.empty(0, 4))
    compare(torch.mm, torch.empty(0, 3), torch.empty(3, 4))
    compare(torch.bmm, torch.empty(0, 3, 2), torch.empty(0, 2, 4))
    compare(torch.addmm, random_tensor(4), torch.empty(3, 0), torch.empty(0, 4))


def test_strided_out() -> None:
    a, b = random_tensor(6, 7), random_tensor(7, 8)
    out = torch.empty(8, 12, device=DEVICE)[:, ::2].t()
    torch.mm(a.to(DEVICE), b.to(DEVICE), out=out)
    assert_matches(out, a.double() @ b.double())


@pytest.mark.parametrize("bias", [False, True])
def test_linear_gradients(bias: bool) -> None:
    x, w, b = random_tensor(2, 9, 12), random_tensor(7, 12), random_tensor(7)
    compare(F.linear, x, w, *([b] if bias else []), gradients=True)
    compare(torch.bmm, random_tensor(3, 4, 5), random_tensor(3, 5, 6), gradients=True)


def test_mismatched_dtypes_raise() -> None:
    with pytest.raises(RuntimeError, match="same dtype"):
        torch.mm(torch.ones(2, 2, device=DEVICE), torch.ones(2, 2, device=DEVICE, dtype=torch.bfloat16))
