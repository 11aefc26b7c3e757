"""Dense linear algebra against float64 CPU torch: raw where LAPACK determines a result, else by what factors give."""

import random
from contextlib import nullcontext

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import assert_matches

DEVICE = "mtia_sim"
BOUNDS = {torch.float32: 2e-5, torch.float64: 1e-12}


def near(got: Tensor, expected: Tensor, dtype: torch.dtype, factor: float = 1.0) -> None:
    assert_matches(got.detach().cpu().double(), expected.detach().double(), factor * BOUNDS[dtype])


def orthonormal(columns: Tensor, dtype: torch.dtype) -> None:
    unit = torch.eye(columns.size(-1)).expand(*columns.shape[:-2], -1, -1)
    near(columns.mT.double() @ columns.double(), unit, dtype)


def laid_out(chance: random.Random, matrix: Tensor) -> Tensor:
    """On the device, by rows, by columns or as every other column of a larger one."""
    moved = matrix.to(DEVICE)
    way = chance.choice(["rows", "columns", "apart"])
    if way == "columns":
        return moved.mT.contiguous().mT
    return torch.stack([moved, moved], -1)[..., 0] if way == "apart" else moved


def matrices(chance: random.Random, sizes: list[int]) -> tuple[tuple[int, ...], int, int]:
    batch = chance.choice([(), (), (1,), (3,), (2, 3)])
    return batch, chance.choice(sizes), chance.choice(sizes)


def well_conditioned(*shape: int, dtype: torch.dtype) -> Tensor:
    n = shape[-1]
    return (torch.randn(shape, dtype=torch.float64) / n**0.5 + 2 * torch.eye(n)).to(dtype)


@pytest.mark.parametrize("seed", range(10))
def test_systems(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    dtype = chance.choice(list(BOUNDS))
    batch, n, columns = matrices(chance, [1, 2, 5, 17, 64])
    a, b = well_conditioned(*batch, n, n, dtype=dtype), torch.randn(*batch, n, columns, dtype=dtype)
    given, right = laid_out(chance, a), laid_out(chance, b)
    wide, wide_right = a.double(), b.double()
    near(torch.linalg.solve(given, right), torch.linalg.solve(wide, wide_right), dtype)
    near(torch.linalg.solve(given, right.mT, left=False), torch.linalg.solve(wide, wide_right.mT, left=False), dtype)
    near(torch.linalg.inv(given), torch.linalg.inv(wide), dtype)
    near(torch.linalg.det(given), torch.linalg.det(wide), dtype, 5)
    near(torch.linalg.slogdet(given).logabsdet, torch.linalg.slogdet(wide).logabsdet, dtype, 5)
    factors, pivots, _ = torch.linalg.lu_factor_ex(given)
    expected, places, _ = torch.linalg.lu_factor_ex(a)
    assert torch.equal(pivots.cpu(), places) and factors.stride() == expected.stride()
    near(factors, torch.linalg.lu_factor(wide).LU, dtype)
    p, lower, upper = torch.linalg.lu(given)
    near(p @ lower @ upper, wide, dtype)
    near(torch.linalg.lu_solve(factors, pivots, right, adjoint=True), torch.linalg.solve(wide.mT, wide_right), dtype)
    for is_upper in (False, True):
        for transposes in (False, True):
            triangle, wide_triangle = (each.mT if transposes else each for each in (given, wide))
            near(
                torch.linalg.solve_triangular(triangle, right, upper=is_upper),
                torch.linalg.solve_triangular(wide_triangle, wide_right, upper=is_upper),
                dtype,
            )
            near(
                torch.linalg.solve_triangular(triangle, right.mT, upper=is_upper, left=False, unitriangular=True),
                torch.linalg.solve_triangular(
                    wide_triangle, wide_right.mT, upper=is_upper, left=False, unitriangular=True
                ),
                dtype,
            )


@pytest.mark.parametrize("seed", range(8))
def test_symmetric(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    dtype = chance.choice(list(BOUNDS))
    batch, n, columns = matrices(chance, [1, 2, 6, 19, 65])
    a = torch.randn(*batch, n, n, dtype=dtype)
    positive, symmetric = a @ a.mT / n + torch.eye(n, dtype=dtype), a + a.mT
    right = torch.randn(*batch, n, columns, dtype=dtype)
    given = laid_out(chance, positive)
    for upper in (False, True):
        factor = torch.linalg.cholesky(given, upper=upper)
        near(factor, torch.linalg.cholesky(positive.double(), upper=upper), dtype)
        near(torch.cholesky_inverse(factor, upper), torch.linalg.inv(positive.double()), dtype, 5)
        near(torch.cholesky_solve(right.to(DEVICE), factor, upper), torch.linalg.solve(positive, right), dtype, 5)
    given = laid_out(chance, symmetric)
    ld, pivots = torch.linalg.ldl_factor(given)
    expected, places = torch.linalg.ldl_factor(symmetric)
    assert torch.equal(pivots.cpu(), places)
    near(ld, expected, dtype, 20)
    for triangle in ("L", "U"):
        values, vectors = torch.linalg.eigh(given, UPLO=triangle)
        near(values, torch.linalg.eigvalsh(symmetric.double()), dtype)
        wide = vectors.cpu().double()
        near((wide * values.cpu().double().unsqueeze(-2)) @ wide.mT, symmetric, dtype)
        orthonormal(vectors.cpu(), dtype)
    near(torch.linalg.eigvalsh(given), torch.linalg.eigvalsh(symmetric.double()), dtype)


@pytest.mark.parametrize("seed", range(10))
def test_orthogonal_factors(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    dtype = chance.choice(list(BOUNDS))
    batch, m, n = matrices(chance, [1, 2, 7, 20, 66])
    a = torch.randn(*batch, m, n, dtype=dtype)
    given = laid_out(chance, a)
    for mode in ("reduced", "complete", "r"):
        for got, expected in zip(torch.linalg.qr(given, mode), torch.linalg.qr(a.double(), mode), strict=True):
            near(got, expected, dtype, 20)
    reflectors, tau = torch.geqrf(given)
    other = torch.randn(*batch, m, 3, dtype=dtype).to(DEVICE)
    q = torch.linalg.qr(given, "complete").Q
    near(torch.ormqr(reflectors, tau, other), (q.double() @ other.double()).cpu(), dtype)
    near(torch.ormqr(reflectors, tau, other.mT, False, True), (other.mT.double() @ q.mT.double()).cpu(), dtype)
    near(torch.linalg.svdvals(given), torch.linalg.svdvals(a.double()), dtype)
    for full in (False, True):
        u, s, vh = (each.cpu().double() for each in torch.linalg.svd(given, full_matrices=full))
        k = min(m, n)
        near((u[..., :k] * s.unsqueeze(-2)) @ vh[..., :k, :], a, dtype)
        orthonormal(u, dtype)
        orthonormal(vh.mT, dtype)


@pytest.mark.parametrize("n", [1, 2, 3, 10, 33])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_eigenvalues(n: int, dtype: torch.dtype) -> None:
    a = torch.randn(3, n, n, dtype=dtype)
    values, vectors = (each.cpu().to(torch.complex128) for each in torch.linalg.eig(a.to(DEVICE)))
    residual = a.to(torch.complex128) @ vectors - vectors * values.unsqueeze(-2)
    assert residual.abs().max() < 20 * BOUNDS[dtype]
    torch.testing.assert_close(vectors.norm(dim=-2), torch.ones(3, n).double(), rtol=1e-5, atol=0)
    only = torch.linalg.eigvals(a.to(DEVICE)).cpu().to(torch.complex128)
    torch.testing.assert_close(only.sum(-1).real, a.double().diagonal(0, -2, -1).sum(-1), rtol=1e-4, atol=1e-4)
    assert all(value.conj() in row for row in values for value in row)


def test_eigenvalues_of_difficult_matrices() -> None:
    shift = torch.diag(torch.ones(5), 1)  # one eigenvector only
    cycle = torch.roll(torch.eye(4), 1, 0)  # equal sizes: shifts have to break the symmetry
    for matrix in (shift, cycle, torch.zeros(3, 3), torch.eye(3), torch.triu(torch.ones(4, 4))):
        values, vectors = (each.cpu() for each in torch.linalg.eig(matrix.to(DEVICE)))
        assert (matrix.to(vectors.dtype) @ vectors - vectors * values.unsqueeze(-2)).abs().max() < 1e-5


@pytest.mark.parametrize("size", [1e-30, 1e30])
def test_eigenvalues_whose_squares_leave_the_range(size: float) -> None:
    a = torch.randn(12, 12) * size
    values, vectors = (each.cpu().to(torch.complex128) for each in torch.linalg.eig(a.to(DEVICE)))
    residual = a.to(torch.complex128) @ vectors - vectors * values.unsqueeze(-2)
    assert residual.abs().max() < 1e-4 * size


@pytest.mark.parametrize("dtype", BOUNDS)
def test_ranks_that_are_not_full(dtype: torch.dtype) -> None:
    a = (torch.randn(30, 4, dtype=torch.float64) @ torch.randn(4, 20, dtype=torch.float64)).to(dtype)
    given = a.to(DEVICE)
    assert torch.linalg.matrix_rank(given).item() == 4
    near(torch.linalg.pinv(given), torch.linalg.pinv(a.double(), rtol=1e-4), dtype, 10)
    u, s, vh = (each.cpu() for each in torch.linalg.svd(given, full_matrices=True))
    orthonormal(u, dtype)
    near((u[:, :20] * s) @ vh, a, dtype)
    u, s, vh = (each.cpu() for each in torch.linalg.svd(torch.zeros(5, 3, dtype=dtype, device=DEVICE)))
    assert not s.any()
    orthonormal(u, dtype)


@pytest.mark.parametrize("driver", ["gels", "gelsy", "gelsd", "gelss"])
@pytest.mark.parametrize("shape", [(2, 9, 4), (4, 9), (5, 5)])
def test_least_squares(driver: str, shape: tuple[int, ...]) -> None:
    a, b = torch.randn(shape), torch.randn(*shape[:-1], 3)
    got = torch.linalg.lstsq(a.to(DEVICE), b.to(DEVICE), driver=driver)
    expected = torch.linalg.lstsq(a.double(), b.double(), driver=driver)
    for one, other in zip(got, expected, strict=True):
        assert one.shape == other.shape
        near(one, other, torch.float32, 10)


@pytest.mark.parametrize("size", [1e-9, 0.1, 3.0, 40.0])
@pytest.mark.parametrize("dtype", BOUNDS)
def test_matrix_exponential(size: float, dtype: torch.dtype) -> None:
    a = torch.randn(3, 8, 8, dtype=dtype)
    a = (a - a.mT) * size * torch.tensor([1.0, 0.1, 0.01], dtype=dtype).view(3, 1, 1) / 8
    near(torch.linalg.matrix_exp(a.to(DEVICE)), torch.linalg.matrix_exp(a.double()), dtype, 10)
    row = torch.randn(3, 1, 1, dtype=dtype) * size
    near(torch.linalg.matrix_exp(row.to(DEVICE)), row.double().exp(), dtype, 1)


@pytest.mark.parametrize("function", ["cholesky", "inv", "slogdet", "svdvals", "eigvalsh", "pinv"])
def test_gradients(function: str) -> None:
    a = torch.randn(2, 6, 6, dtype=torch.float64)
    a = a @ a.mT + torch.diag(torch.arange(1.0, 7.0)).double()
    call = getattr(torch.linalg, function)
    gradients = []
    for device in ("cpu", DEVICE):
        leaf = a.clone().to(device).requires_grad_()
        result = call(leaf)
        result = result[1] if isinstance(result, tuple) else result
        (result * torch.arange(1, result.numel() + 1, device=device).view_as(result)).sum().backward()
        gradients.append(leaf.grad.cpu())
    assert_matches(gradients[1], gradients[0], 1e-10)


@pytest.mark.parametrize("dtype", BOUNDS)
def test_larger_than_local_memory(dtype: torch.dtype) -> None:
    n = 400 if dtype == torch.float64 else 530
    a = well_conditioned(n, n, dtype=dtype)
    positive = a @ a.mT
    right = torch.randn(n, 3, dtype=dtype)
    for upper in (False, True):
        near(
            torch.linalg.cholesky(positive.to(DEVICE), upper=upper),
            torch.linalg.cholesky(positive.double(), upper=upper),
            dtype,
            10,
        )
    near(torch.linalg.solve(a.to(DEVICE), right.to(DEVICE)), torch.linalg.solve(a.double(), right.double()), dtype, 10)
    factors, pivots = torch.linalg.lu_factor(a[:, : n // 2].to(DEVICE))
    expected, places = torch.linalg.lu_factor(a[:, : n // 2].double())
    assert torch.equal(pivots.cpu(), places)
    near(factors, expected, dtype, 10)
    near(torch.linalg.qr(a.to(DEVICE)).R, torch.linalg.qr(a.double()).R, dtype, 10)


def test_eigenvectors_larger_than_local_memory() -> None:
    n = 290
    a = torch.randn(n, n, dtype=torch.float64)
    a = a + a.mT
    values, vectors = (each.cpu() for each in torch.linalg.eigh(a.to(DEVICE)))
    assert_matches(values, torch.linalg.eigvalsh(a), 1e-12)
    assert_matches((vectors * values) @ vectors.mT, a, 1e-12)
    u, s, vh = (each.cpu() for each in torch.linalg.svd(a[:, :200].to(DEVICE), full_matrices=False))
    assert_matches(s, torch.linalg.svdvals(a[:, :200]), 1e-12)
    assert_matches((u * s) @ vh, a[:, :200], 1e-12)


def test_what_fails_says_so() -> None:
    a = torch.eye(3).repeat(2, 1, 1)
    a[1, 2, 2] = -1
    for given in (a, a.to(DEVICE)):
        with pytest.raises(torch.linalg.LinAlgError, match=r"Batch element 1.*leading minor of order 3"):
            torch.linalg.cholesky(given)
        assert torch.linalg.cholesky_ex(given).info.tolist() == [0, 3]
        zero = given.clone()
        zero[0, 1] = 0
        with pytest.raises(torch.linalg.LinAlgError, match=r"Batch element 0.*singular"):
            torch.linalg.inv(zero)
        assert torch.linalg.inv_ex(zero).info.tolist() == [2, 0]
        assert torch.linalg.det(zero).tolist() == [0, -1]
        with pytest.raises(torch.linalg.LinAlgError, match="non-finite"):
            torch.linalg.svd(given.clone().fill_(float("nan")))
        with pytest.raises(RuntimeError, match="infs or NaNs"):
            torch.linalg.eig(given.clone().fill_(float("nan")))
        with pytest.raises(torch.linalg.LinAlgError, match="failed to converge"):
            torch.linalg.eigh(given.clone().fill_(float("nan")))
        for call in (torch.cholesky_inverse, lambda a: torch.linalg.lstsq(a, a, driver="gels")):
            with pytest.raises(torch.linalg.LinAlgError, match=r"Batch element 0.*(element 2 is zero|full rank)"):
                call(zero)
        with pytest.raises(RuntimeError, match="must be batches of square matrices"):
            torch.linalg.inv(given[:, :2])
        with pytest.raises(NotImplementedError, match=r"not implemented for .Half.|Low precision"):
            torch.geqrf(given.half())
    failed = torch.eye(600, dtype=torch.float64)
    failed[500, 500] = 0
    assert torch.linalg.lu_factor_ex(failed.to(DEVICE)).info.item() == 501
    failed[550, 550] = -1
    failed[500, 500] = 1
    assert torch.linalg.cholesky_ex(failed.to(DEVICE)).info.item() == 551


@pytest.mark.parametrize("place", [(0, 0), (4, 1), (7, 7)])
def test_nan_has_no_eigenvalues(place: tuple[int, int]) -> None:
    """On the CPU MKL ends the process in eigvals."""
    a = torch.eye(8)
    a[place] = float("nan")
    for call in (torch.linalg.eigvals, torch.linalg.eigvalsh, torch.linalg.eigh, torch.linalg.svdvals):
        with pytest.raises(torch.linalg.LinAlgError, match="failed to converge"):
            call(a.to(DEVICE))


@pytest.mark.parametrize("dtype", [torch.float32, torch.complex128])
def test_values_of_infinite_matrices_are_no_numbers(dtype: torch.dtype) -> None:
    """As on the CPU where LAPACK comes back; its vectors are numbers, so that a pseudo-inverse is 0."""
    a = torch.stack([torch.eye(3), torch.eye(3)]).to(dtype)
    a[1, 0, 0] = float("inf")
    calls = [
        torch.linalg.svdvals,
        torch.linalg.eigvalsh,
        lambda x: torch.linalg.eigh(x)[0],
        lambda x: torch.linalg.eigvals(x).real,
        torch.linalg.cond,
        torch.linalg.pinv,
        torch.linalg.matrix_rank,
        lambda x: torch.linalg.matrix_rank(x, hermitian=True),
        lambda x: torch.linalg.pinv(x, hermitian=True),
        lambda x: torch.linalg.matrix_norm(x, "nuc"),
        lambda x: torch.linalg.svd(x[:, :2])[1],
    ]
    for call in calls:
        assert_matches(call(a.to(DEVICE)), call(a), 1e-6)
    assert torch.linalg.svd(a[1].to(DEVICE))[0].isfinite().all()


@pytest.mark.parametrize("upper", [False, True])
@pytest.mark.parametrize("place", [0, 1, 2])
def test_an_infinite_pivot_of_cholesky_is_the_last(place: int, upper: bool) -> None:
    a = torch.eye(3)
    a[place, place] = float("inf")
    expected = place + 2 if place < 2 else 0
    for x in (a, a.to(DEVICE)):
        assert torch.linalg.cholesky_ex(x, upper=upper).info.item() == expected


@pytest.mark.parametrize("driver", ["gelsy", "gels", "gelsd"])
@pytest.mark.parametrize(
    ("a_shape", "b_shape"), [((1, 3, 3), (3, 3)), ((1, 4, 3), (4, 2)), ((1, 4, 3), (5, 4, 2)), ((2, 4, 3), (2, 4))]
)
def test_shapes_of_least_squares(driver: str, a_shape: tuple[int, ...], b_shape: tuple[int, ...]) -> None:
    a, b = torch.rand(a_shape, dtype=torch.float64), torch.rand(b_shape, dtype=torch.float64)
    results, gradients = [], []
    for place in ("cpu", DEVICE):
        operands = [x.detach().to(place).requires_grad_() for x in (a, b)]
        results.append(torch.linalg.lstsq(*operands, driver=driver))
        results[-1].solution.square().sum().backward()
        gradients.append([x.grad for x in operands])
    for got, expected in [*zip(results[1], results[0], strict=True), *zip(gradients[1], gradients[0], strict=True)]:
        assert got.shape == expected.shape
        assert_matches(got.detach(), expected.detach(), 1e-8)


@pytest.mark.parametrize("pivots", [[0, 2, 3], [1, 2, 4], [1, -5, 3]])
def test_pivots_are_rows(pivots: list[int]) -> None:
    a, b, places = torch.eye(3), torch.ones(3, 1), torch.tensor(pivots, dtype=torch.int32)
    for call in (
        lambda a, b, places: torch.linalg.lu_solve(a, places, b),
        lambda a, b, places: torch.linalg.ldl_solve(a, places, b),
        lambda a, b, places: torch.lu_unpack(a, places),
    ):
        with pytest.raises(RuntimeError, match="ivot"):
            call(a, b, places)
        with pytest.raises(RuntimeError, match=r"pivot .* is not a row of 3; give 1 to 3"):
            call(a.to(DEVICE), b.to(DEVICE), places.to(DEVICE))
            torch.mtia_sim.synchronize()


def test_what_is_not_finite_is_not_iterated_on() -> None:
    a = torch.randn(40, 40)
    cycles = []
    for value in (0, float("nan")):
        a[0, 0] = value
        given = a.to(DEVICE)
        torch.mtia_sim.reset_perf_counters()
        with nullcontext() if value == 0 else pytest.raises(torch.linalg.LinAlgError):
            torch.linalg.eigvals(given)
        cycles.append(torch.mtia_sim.perf_counters()["cycles"])
    assert cycles[1] < cycles[0] / 3


@pytest.mark.parametrize("shape", [(0, 0), (0, 3, 3), (2, 0, 0), (3, 0), (0, 3), (2, 0, 4)])
def test_empty(shape: tuple[int, ...]) -> None:
    calls = [torch.linalg.svd, torch.linalg.qr, torch.geqrf, torch.linalg.lu_factor, torch.linalg.lu, torch.linalg.pinv]
    if shape[-1] == shape[-2]:
        calls += [torch.linalg.cholesky, torch.linalg.inv, torch.linalg.det, torch.linalg.eigh, torch.linalg.eig]
        calls += [torch.linalg.slogdet, torch.linalg.matrix_exp, torch.linalg.ldl_factor]
    for call in calls:
        expected, got = call(torch.empty(shape)), call(torch.empty(shape, device=DEVICE))
        pairs = zip(got, expected, strict=True) if isinstance(expected, tuple) else [(got, expected)]
        for one, other in pairs:
            assert one.shape == other.shape and one.dtype == other.dtype
            torch.testing.assert_close(one.cpu(), other)


def test_cross_products() -> None:
    a, b = torch.randn(4, 3, 5), torch.randn(1, 3, 5)
    near(torch.linalg.cross(a.to(DEVICE), b.to(DEVICE), dim=1), torch.linalg.cross(a, b, dim=1), torch.float32)
    whole = torch.randint(-5, 5, (6, 3))
    assert torch.equal(
        torch.linalg.cross(whole.to(DEVICE), whole.flip(0).to(DEVICE)).cpu(), torch.cross(whole, whole.flip(0), 1)
    )


@pytest.mark.parametrize("dtype", [torch.complex64, torch.complex128])
def test_complex(dtype: torch.dtype) -> None:
    bound = BOUNDS[dtype.to_real()] * 10

    def agree(got: Tensor, expected: Tensor) -> None:
        error = (got.cpu().to(torch.complex128) - expected.to(torch.complex128)).norm() / expected.norm()
        assert error < bound

    a = torch.randn(2, 12, 12, dtype=dtype)
    positive, hermitian = a @ a.mH + 2 * torch.eye(12), a + a.mH
    right = torch.randn(2, 12, 3, dtype=dtype)
    given = a.to(DEVICE)
    for upper in (False, True):
        agree(torch.linalg.cholesky(positive.to(DEVICE), upper=upper), torch.linalg.cholesky(positive, upper=upper))
    agree(torch.linalg.solve(given, right.to(DEVICE)), torch.linalg.solve(a, right))
    agree(torch.linalg.solve(given.mH, right.to(DEVICE)), torch.linalg.solve(a.mH, right))
    for got, expected in zip(torch.linalg.qr(given), torch.linalg.qr(a), strict=True):
        agree(got, expected)
    for symmetric in (False, True):
        matrix = a + a.mT if symmetric else hermitian
        factors = torch.linalg.ldl_factor(matrix.to(DEVICE), hermitian=not symmetric)
        agree(factors[0], torch.linalg.ldl_factor(matrix, hermitian=not symmetric)[0])
        agree(
            torch.linalg.ldl_solve(*factors, right.to(DEVICE), hermitian=not symmetric),
            torch.linalg.solve(matrix, right),
        )
    values, vectors = (each.cpu() for each in torch.linalg.eigh(hermitian.to(DEVICE)))
    agree((vectors * values.unsqueeze(-2)) @ vectors.mH, hermitian)
    u, s, vh = (each.cpu() for each in torch.linalg.svd(given))
    agree((u * s.unsqueeze(-2)) @ vh, a)
    values, vectors = (each.cpu() for each in torch.linalg.eig(given))
    agree(a @ vectors, vectors * values.unsqueeze(-2))


@pytest.mark.parametrize("shape", [(300, 300), (500, 150), (150, 500), (2, 200, 170)])
def test_panels_that_all_elements_share(shape: tuple[int, ...]) -> None:
    a = torch.randn(shape)
    q, r = torch.linalg.qr(a.to(DEVICE), "complete")
    expected = torch.linalg.qr(a.double(), "complete")
    near(r, expected.R, torch.float32, 10)
    near(q @ r, a, torch.float32)
    orthonormal(q.cpu(), torch.float32)
    p, lower, upper = torch.linalg.lu(a.to(DEVICE))
    near(p @ lower @ upper, a, torch.float32)
    assert torch.equal(p.cpu(), torch.linalg.lu(a).P)
