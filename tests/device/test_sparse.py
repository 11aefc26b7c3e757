"""Sparse tensors, coordinates and compressed rows, against CPU torch."""

from collections.abc import Callable

import pytest
import torch
from torch import Tensor, nn

DEVICE = "mtia_sim"
INDICES = torch.tensor([[0, 1, 1, 3, 1], [2, 0, 2, 4, 2]])
VALUES = torch.tensor([3.0, 4.0, 5.0, -6.0, 7.0])

Call = Callable[[Tensor], Tensor]


def coordinates(device: str, dtype: torch.dtype = torch.float32) -> Tensor:
    return torch.sparse_coo_tensor(INDICES, VALUES.to(dtype), (4, 5)).to(device)


def dense(tensor: Tensor) -> Tensor:
    return (tensor if tensor.layout == torch.strided else tensor.to_dense()).cpu()


def check(call: Call, make: Callable[[str], Tensor] = coordinates) -> None:
    expected, got = call(make("cpu")), call(make(DEVICE))
    assert got.device.type == DEVICE and got.layout == expected.layout
    torch.testing.assert_close(dense(got), dense(expected))


CALLS: dict[str, Call] = {
    "coalesce": lambda s: s.coalesce(),
    "indices": lambda s: s.coalesce().indices(),
    "values": lambda s: s.coalesce().values(),
    "to_dense": lambda s: s.to_dense(),
    "transpose": lambda s: s.t(),
    "clone": lambda s: s.clone(),
    "add": lambda s: s + s,
    "add coalesced": lambda s: torch.add(s.coalesce(), s.coalesce() * 2, alpha=0.5),
    "subtract": lambda s: s - 2 * s,
    "dense plus": lambda s: torch.ones(4, 5, device=s.device).add(s, alpha=3),
    "times number": lambda s: s * 1.5,
    "times dense": lambda s: s.coalesce() * torch.arange(20.0, device=s.device).view(4, 5),
    "over number": lambda s: s / 4,
    "negative": lambda s: -s,
    "absolute": lambda s: s.coalesce().abs(),
    "relu": lambda s: s.coalesce().relu(),
    "square root": lambda s: s.coalesce().abs().sqrt(),
    "sum": lambda s: s.sum(),
    "sum of rows": lambda s: torch.sparse.sum(s, 1),
    "norm": lambda s: s.coalesce().norm(),
    "times matrix": lambda s: s @ torch.arange(10.0, device=s.device).view(5, 2),
    "times vector": lambda s: s @ torch.arange(5.0, device=s.device),
    "addmm": lambda s: torch.sparse.addmm(torch.ones(4, 2, device=s.device), s, torch.ones(5, 2, device=s.device)),
    "cat": lambda s: torch.cat([s, s]),
    "unsqueeze": lambda s: s.unsqueeze(0),
    "to double": lambda s: s.to(torch.float64),
    "to rows": lambda s: s.coalesce().to_sparse_csr(),
    "mask": lambda s: torch.arange(20.0, device=s.device).view(4, 5).sparse_mask(s.coalesce()),
    "mask of a sparse tensor": lambda s: s.coalesce().sparse_mask(other(s).coalesce()),
    "times a row": lambda s: s * torch.arange(5.0, device=s.device),
    "times sparse": lambda s: s * other(s),
    "index_select": lambda s: s.index_select(0, torch.tensor([1, 3, 1, 2], device=s.device)),
    "index_select from the end": lambda s: s.index_select(1, torch.tensor([-1, -3], device=s.device)),
    "index_select of nothing": lambda s: s.index_select(0, torch.tensor([], dtype=torch.long, device=s.device)),
    "softmax": lambda s: torch.sparse.softmax(s, 0),
    "log_softmax": lambda s: torch.sparse.log_softmax(s, 1, dtype=torch.float64),
    "times sparse matrix": lambda s: torch.sparse.mm(s, other(s).t()),
    "hybrid product": lambda s: torch.hspmm(s, torch.arange(10.0, device=s.device).view(5, 2)),
    "sparse plus product": lambda s: torch.sspaddmm(s, s, torch.arange(25.0, device=s.device).view(5, 5), alpha=2),
    "floor_divide": lambda s: s // 2,
    "nan_to_num": lambda s: s.coalesce().log1p().nan_to_num(3.0),
    "blocks of rows": lambda s: s.coalesce().to_sparse_bsr((2, 5)),
    "blocks of columns": lambda s: s.to_sparse_csr().to_sparse_bsc((2, 1)),
}


def other(like: Tensor) -> Tensor:
    """Of the sizes of `like`, with some of its elements, one of them twice, and some of its own."""
    indices = torch.tensor([[1, 0, 2, 3, 3, 0], [2, 2, 1, 4, 4, 0]])
    return torch.sparse_coo_tensor(indices, torch.tensor([2.0, -1, 4, 5, 6, 3]), (4, 5)).to(like)


@pytest.mark.parametrize("name", CALLS)
def test_coordinates(name: str) -> None:
    check(CALLS[name])


@pytest.mark.parametrize("dtype", [torch.bool, torch.int32, torch.int64, torch.bfloat16, torch.float16])
def test_coalescing_of_dtypes(dtype: torch.dtype) -> None:
    check(lambda s: s.coalesce(), lambda device: coordinates(device, dtype))


def test_hybrid_tensors() -> None:
    values = torch.arange(15.0).view(5, 3)

    def make(device: str) -> Tensor:
        return torch.sparse_coo_tensor(INDICES, values, (4, 5, 3)).to(device)

    for call in (
        lambda s: s.coalesce(),
        lambda s: s.to_dense(),
        lambda s: s + s,
        lambda s: s * s,
        lambda s: s.index_select(1, torch.tensor([2, 2], device=s.device)),
        lambda s: s.index_select(2, torch.tensor([2, 0], device=s.device)),
        lambda s: torch.sparse.softmax(s, 1),
        lambda s: torch.sparse.log_softmax(s, 2),
    ):
        check(call, make)


def test_between_dense_and_sparse() -> None:
    matrix = torch.tensor([[0.0, 2, 0], [1, 0, 3]])
    for call in (
        lambda x: x.to_sparse(),
        lambda x: x.to_sparse(1),
        lambda x: x.to_sparse_csr(),
        lambda x: x.to_sparse_csc(),
        lambda x: x.to_sparse_csr().to_sparse(),
        lambda x: x.to_sparse_csr().to_sparse_csc(),
    ):
        check(call, matrix.to)


def compressed(device: str) -> Tensor:
    return coordinates("cpu").coalesce().to_sparse_csr().to(device)


def rows_of_other(like: Tensor) -> Tensor:
    return other(torch.ones(1)).coalesce().to_sparse_csr().to(like.device)


@pytest.mark.parametrize(
    "call",
    [
        lambda s: s.clone(),
        lambda s: s.crow_indices(),
        lambda s: s.col_indices(),
        lambda s: s * 3,
        lambda s: s.sin(),
        lambda s: s.sum(),
        lambda s: s @ torch.arange(10.0, device=s.device).view(5, 2),
        lambda s: s @ torch.arange(5.0, device=s.device),
        lambda s: torch.arange(8.0, device=s.device).view(2, 4) @ s,
        lambda s: s.to_sparse_csc() @ torch.arange(10.0, device=s.device).view(5, 2),
        lambda s: torch.addmm(torch.ones(4, 2, device=s.device), s, torch.ones(5, 2, device=s.device), alpha=2, beta=3),
        lambda s: s + rows_of_other(s),
        lambda s: torch.add(torch.ones(4, 5, device=s.device), s, alpha=2),
        lambda s: s + torch.ones(4, 5, device=s.device),
        lambda s: s.clone().add_(rows_of_other(s), alpha=0.5),
        lambda s: s * rows_of_other(s),
        lambda s: s * torch.arange(20.0, device=s.device).view(4, 5),
        lambda s: s @ rows_of_other(s).to_dense().t().to_sparse_csr(),
        lambda s: torch.ones_like(s),
        lambda s: torch.sum(s, 1, keepdim=True),
        lambda s: torch.sum(s, (0, 1), keepdim=True),
    ],
)
def test_compressed_rows(call: Call) -> None:
    check(call, compressed)


def test_checked_invariants() -> None:
    crow, columns, values = torch.tensor([0, 1, 2]), torch.tensor([0, 1]), torch.ones(2)
    made = [each.to(DEVICE) for each in (crow, columns, values)]
    torch.sparse_csr_tensor(*made, (2, 2), check_invariants=True)
    with pytest.raises(RuntimeError, match="col_indices < ncols"):
        torch.sparse_csr_tensor(made[0], made[1] + 1, made[2], (2, 2), check_invariants=True)
    with pytest.raises(RuntimeError, match="crow_indices"):
        torch.sparse_csr_tensor(made[0] + 1, made[1], made[2], (2, 2), check_invariants=True)


def test_printing() -> None:
    assert repr(coordinates(DEVICE)).replace("device='mtia_sim:0', ", "").split() == repr(coordinates("cpu")).split()
    assert "layout=torch.sparse_csr" in repr(compressed(DEVICE))


def test_gradients_of_a_sparse_product() -> None:
    gradients = []
    for device in ("cpu", DEVICE):
        weight = coordinates(device).coalesce().requires_grad_()
        x = torch.arange(10.0, device=device).view(5, 2).requires_grad_()
        torch.sparse.mm(weight, x).square().sum().backward()
        assert weight.grad is not None and x.grad is not None
        gradients.append((dense(weight.grad), x.grad.cpu()))
    torch.testing.assert_close(gradients[1], gradients[0])


@pytest.mark.parametrize("reduce", ["sum", "mean", "amax", "amin"])
def test_rows_reduced_by_a_sparse_pattern(reduce: str) -> None:
    """Rows without elements and equal terms among them."""
    found = []
    for device in ("cpu", DEVICE):
        pattern = torch.tensor([[1.0, 0, 2, 1], [0, 0, 0, 0], [0, 3, 3, 0]], device=device).to_sparse_csr()
        pattern.requires_grad_()
        x = torch.tensor([[1.0, 2], [3, -4], [3, 5], [0, 2]], device=device).requires_grad_()
        result = torch.sparse.mm(pattern, x, reduce)
        (result * torch.arange(6.0, device=device).view(3, 2)).sum().backward()
        assert pattern.grad is not None and x.grad is not None
        found.append((result.detach().cpu(), dense(pattern.grad), x.grad.cpu()))
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.complex64])
def test_products_of_a_pattern(dtype: torch.dtype) -> None:
    found = []
    for device in ("cpu", DEVICE):
        pattern = torch.tensor([[1, 0, 2, 1], [0, 0, 0, 0], [0, 3, 3, 0]], dtype=dtype, device=device).to_sparse_csr()
        left = torch.arange(6.0, device=device).to(dtype).view(3, 2)
        right = torch.arange(8.0, device=device).to(dtype).view(2, 4)
        result = torch.sparse.sampled_addmm(pattern, left, right, beta=0.5, alpha=2)
        out = torch.sparse.sampled_addmm(pattern, left, right, out=torch.zeros_like(pattern))
        for each in (pattern, left, right):
            each.requires_grad_()
        product = torch.sparse.sampled_addmm(pattern, left, right, beta=0.5, alpha=2)
        gradients = torch.autograd.grad(product.to_dense().abs().sum(), (pattern, left, right))
        found.append((dense(result), dense(out), *(dense(each) for each in gradients)))
        with pytest.raises(RuntimeError):
            torch.sparse.sampled_addmm(pattern, left, right.mT)
    torch.testing.assert_close(found[1], found[0])


@pytest.mark.parametrize(
    "optimizer",
    [
        lambda parameters: torch.optim.SGD(parameters, 0.1),
        lambda parameters: torch.optim.SGD(parameters, 0.1, momentum=0.9),
        lambda parameters: torch.optim.SparseAdam(parameters, 0.1),
        lambda parameters: torch.optim.Adagrad(parameters, 0.1),
    ],
)
def test_training_of_a_sparse_embedding(optimizer: Callable[..., torch.optim.Optimizer]) -> None:
    weights = []
    start = torch.randn(10, 4)
    for device in ("cpu", DEVICE):
        model = nn.Embedding(10, 4, sparse=True)
        model.weight.data = start.clone()
        model.to(device)
        steps = optimizer(model.parameters())
        for tokens in ([1, 2, 2, 7], [2, 9, 0, 0]):
            steps.zero_grad()
            model(torch.tensor(tokens, device=device)).square().sum().backward()
            assert model.weight.grad is not None and model.weight.grad.is_sparse
            steps.step()
        weights.append(model.weight.detach().cpu())
    torch.testing.assert_close(weights[1], weights[0])


def gradients_of(make: Callable[[Tensor], Tensor], device: str) -> tuple[Tensor, Tensor]:
    leaf = coordinates(device).coalesce().requires_grad_()
    result = make(leaf)
    (grad,) = torch.autograd.grad(dense_of(result).square().sum(), leaf)
    return dense(result.detach()), dense(grad)


def dense_of(tensor: Tensor) -> Tensor:
    return tensor if tensor.layout == torch.strided else tensor.to_dense()


@pytest.mark.parametrize(
    "make",
    [
        lambda s: torch.sparse.softmax(s, 0),
        lambda s: torch.sparse.softmax(s, 1),
        lambda s: torch.sparse.log_softmax(s, 0),
        lambda s: torch.sparse.mm(s, other(s).t()),
        lambda s: torch.sparse.mm(other(s).t(), s),
        lambda s: s * other(s).coalesce(),
        lambda s: s * torch.arange(20.0, device=s.device).view(4, 5),
        lambda s: torch.bmm(torch.stack([s, s * 2]), torch.arange(20.0, device=s.device).view(2, 5, 2)),
    ],
)
def test_gradients_reach_the_stored_elements(make: Callable[[Tensor], Tensor]) -> None:
    torch.testing.assert_close(gradients_of(make, DEVICE), gradients_of(make, "cpu"))


def test_batches_of_sparse_matrices() -> None:
    batch = torch.stack([coordinates("cpu").to_dense(), torch.eye(4, 5)]).to_sparse()
    right = torch.arange(30.0).view(2, 5, 3)
    out = torch.empty(2, 4, 3, device=DEVICE)
    torch.bmm(batch.to(DEVICE), right.to(DEVICE), out=out)
    torch.testing.assert_close(out.cpu(), torch.bmm(batch, right))


@pytest.mark.parametrize("layout", [None, torch.sparse_csr, torch.sparse_csc])
def test_matrices_of_diagonals(layout: torch.layout | None) -> None:
    diagonals, offsets = torch.arange(1.0, 13).view(3, 4), torch.tensor([0, -1, 2])
    expected = torch.sparse.spdiags(diagonals, offsets, (4, 4), layout)
    got = torch.sparse.spdiags(diagonals.to(DEVICE), offsets.to(DEVICE), (4, 4), layout)
    assert got.layout == expected.layout
    torch.testing.assert_close(dense(got), dense(expected))
    with pytest.raises(RuntimeError, match="duplicate"):
        torch.sparse.spdiags(diagonals.to(DEVICE), torch.tensor([1, 0, 1], device=DEVICE), (4, 4))


def test_products_of_blocks() -> None:
    """torch's CPU build has them of square blocks alone."""
    right = torch.arange(10.0).view(5, 2)
    rows = coordinates(DEVICE).to_sparse_bsr((2, 5)) @ right.to(DEVICE)
    columns = right.t().contiguous().to(DEVICE) @ coordinates(DEVICE).t().to_sparse_bsc((5, 2))
    expected = coordinates("cpu") @ right
    torch.testing.assert_close((rows.cpu(), columns.cpu()), (expected, expected.t()))


def test_triangles_of_rows() -> None:
    matrix = torch.tensor([[2.0, 1, 0], [0, 3, 4], [0, 0, 5]])
    b = torch.arange(6.0).view(3, 2)
    for options in ({}, {"transpose": True}, {"unitriangular": True}):
        expected = torch.triangular_solve(b, matrix, **options).solution
        got = torch.triangular_solve(b.to(DEVICE), matrix.to_sparse_csr().to(DEVICE), **options).solution
        torch.testing.assert_close(got.cpu(), expected)


def test_indices_are_checked() -> None:
    with pytest.raises(IndexError, match="out of range"):
        coordinates(DEVICE).index_select(0, torch.tensor([4], device=DEVICE))
    with pytest.raises(IndexError, match="1-D"):
        coordinates(DEVICE).index_select(0, torch.tensor([1], dtype=torch.int32, device=DEVICE))


def test_what_is_missing_says_so() -> None:
    with pytest.raises(NotImplementedError, match=r"compatibility\.md"):
        coordinates(DEVICE).amax(0)
