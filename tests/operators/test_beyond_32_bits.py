"""Tensors whose elements lie more than 2^31 elements or bytes apart, and tensors of more elements than that.

Device memory is committed when it is touched, so that a row of such a tensor costs its own pages only.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator

import pytest
import torch
import torch.nn.functional as F

from .comparison import DEVICE, assert_matches, wide

#: Distances between elements: beyond 2^31 bytes of float32, beyond 2^31 and beyond 2^32 elements.
DISTANCES = (
    pytest.param(2**29 + 3, marks=pytest.mark.slow),
    2**31 + 5,
    pytest.param(2**32 + 1, marks=pytest.mark.slow),
)


@pytest.fixture(autouse=True)
def give_memory_back() -> Iterator[None]:
    """Pages that a test has touched are gigabytes of the host."""
    yield
    torch.mtia_sim.empty_cache()


def far_apart(x: torch.Tensor, dim: int, distance: int) -> torch.Tensor:
    """x on the device; neighbours along `dim` lie `distance` elements apart, in one storage."""
    strides = list(torch.empty_like(x.select(dim, 0), memory_format=torch.contiguous_format).stride())
    strides.insert(dim % x.dim(), distance)
    storage = torch.empty((x.size(dim) - 1) * distance + x.numel(), dtype=x.dtype, device=DEVICE)
    view = storage.as_strided(x.size(), strides)
    for i in range(x.size(dim)):
        view.select(dim, i).copy_(x.select(dim, i))
    return view


def read(x: torch.Tensor, dim: int) -> torch.Tensor:
    """A tensor of far_apart on the CPU, slice by slice."""
    return torch.stack([x.select(dim, i).cpu() for i in range(x.size(dim))], dim)


WEIGHT = torch.randn(40, 24, generator=torch.Generator().manual_seed(3))
INDEX = torch.tensor([2, 0, 1, 2])

FUNCTIONS: dict[str, Callable[[torch.Tensor], torch.Tensor]] = {
    "sum": lambda x: x.sum(),
    "sum of rows": lambda x: x.sum(1),
    "sum of columns": lambda x: x.sum(0),
    "mean": lambda x: x.mean(0),
    "prod": lambda x: x[:, :3].prod(0),
    "amax": lambda x: x.amax(0),
    "argmax": lambda x: x.argmax(0),
    "argmax of all": lambda x: x.argmax(),
    "any": lambda x: (x > 2).any(0),
    "variance": lambda x: x.var(0),
    "norm": lambda x: torch.linalg.vector_norm(x, dim=0),
    "logsumexp": lambda x: x.logsumexp(0),
    "logsumexp of rows": lambda x: x.logsumexp(1),
    "softmax": lambda x: x.softmax(0),
    "softmax of rows": lambda x: x.softmax(1),
    "log_softmax of rows": lambda x: x.log_softmax(1),
    "layer_norm": lambda x: F.layer_norm(x, (40,)),
    "rms_norm": lambda x: F.rms_norm(x, (40,)),
    "group_norm": lambda x: F.group_norm(x, 4),
    "cumsum": lambda x: x.cumsum(0),
    "cumsum of rows": lambda x: x.cumsum(1),
    "clone": lambda x: x.clone(),
    "contiguous": lambda x: x.contiguous(),
    "turned": lambda x: x.t().contiguous(),
    "to another dtype": lambda x: x.to(torch.float64),
    "to bool": lambda x: x.bool(),
    "add": lambda x: x + 1,
    "add of rows": lambda x: x + x[:1],
    "gelu": F.gelu,
    "where": lambda x: torch.where(x > 0, x, -x),
    "cat": lambda x: torch.cat([x, x], 1),
    "stack": lambda x: torch.stack([x, x]),
    "flip": lambda x: x.flip(0),
    "triangle": lambda x: x.tril(),
    "matmul": lambda x: x @ WEIGHT.to(x),
    "matmul, turned": lambda x: x.t() @ x,
    "batch of products": lambda x: x[:, None, :] @ x[:, :, None],
    "linear": lambda x: F.linear(x, WEIGHT.t().to(x)),
    "sort": lambda x: x.sort(stable=True, dim=0)[0],
    "sort of rows": lambda x: x.sort(stable=True, dim=1)[0],
    "topk": lambda x: x.topk(2, 0)[0],
    "median": lambda x: x.median(1)[0],
    "unique": lambda x: x.unique(),
    "nonzero": lambda x: x.nonzero(),
    "masked_select": lambda x: x[x > 0],
    "index_select": lambda x: x.index_select(0, INDEX.to(x.device)),
    "embedding": lambda x: F.embedding(INDEX.to(x.device), x),
    "index": lambda x: x[INDEX.to(x.device), INDEX.to(x.device)],
    "gather": lambda x: x.gather(0, INDEX.to(x.device)[None]),
    "cross_entropy": lambda x: F.cross_entropy(x, INDEX[:3].to(x.device)),
    "attention": lambda x: F.scaled_dot_product_attention(*[x.view(3, 1, 5, 8)] * 3),
    "convolution": lambda x: F.conv1d(x[:, None], WEIGHT[:2, None, :3].to(x)),
}

IN_PLACE: dict[str, Callable[[torch.Tensor], object]] = {
    "fill_": lambda x: x.fill_(2),
    "add_": lambda x: x.add_(1),
    "mul_ by a row": lambda x: x.mul_(x[1].clone()),
    "copy_": lambda x: x.copy_(WEIGHT.t()[:3].to(x.device)),
    "copy_ from another dtype": lambda x: x.copy_(WEIGHT.t()[:3].to(x.device, torch.float64)),
    "masked_fill_": lambda x: x.masked_fill_(x > 0, -1),
    "index_put_": lambda x: x.index_put_((INDEX[:3].to(x.device),), WEIGHT.t()[:3].to(x)),
    "scatter_": lambda x: x.scatter_(0, INDEX[:3].to(x.device)[None], WEIGHT[:1, :3].to(x)),
    "scatter_add_": lambda x: x.scatter_add_(0, INDEX[:3].to(x.device)[None], WEIGHT[:1, :3].to(x)),
    "index_add_": lambda x: x.index_add_(0, INDEX.to(x.device), WEIGHT.t()[:4].to(x)),
    "index_copy_": lambda x: x.index_copy_(0, INDEX[:3].to(x.device), WEIGHT.t()[:3].to(x)),
    "index_fill_": lambda x: x.index_fill_(0, INDEX[:2].to(x.device), 3.0),
    "softmax, out=": lambda x: torch.softmax(WEIGHT.t()[:3].to(x), 1, out=x),
    "matmul, out=": lambda x: torch.mm(WEIGHT.t()[:3, :24].to(x), WEIGHT.t().to(x), out=x),
    "cumsum, out=": lambda x: torch.cumsum(WEIGHT.t()[:3].to(x), 1, out=x),
    "sum, out=": lambda x: torch.sum(WEIGHT.t()[:6].reshape(2, 3, 40).to(x), 0, out=x),
}


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_rows_far_apart(name: str, distance: int) -> None:
    x = torch.randn(3, 40)
    function = FUNCTIONS[name]
    assert_matches(function(far_apart(x, 0, distance)), function(wide(x)))


@pytest.mark.parametrize("name", FUNCTIONS)
def test_functions_of_columns_far_apart(name: str) -> None:
    x = torch.randn(3, 40)
    function = FUNCTIONS[name]
    assert_matches(function(far_apart(x, 1, 2**27 + 1)), function(wide(x)))


@pytest.mark.parametrize("distance", DISTANCES)
@pytest.mark.parametrize("name", IN_PLACE)
def test_rows_far_apart_are_written(name: str, distance: int) -> None:
    x = torch.randn(3, 40)
    device = far_apart(x, 0, distance)
    IN_PLACE[name](device)
    expected = wide(x).clone()
    IN_PLACE[name](expected)
    assert_matches(read(device, 0), expected)


#: More elements than 32 bits count, and not a multiple of any block.
MANY = 2**31 + 9


def test_indices_beyond_32_bits() -> None:
    """Only the pages that are touched are committed."""
    rows = torch.empty(MANY, 1, dtype=torch.float16, device=DEVICE)
    flat = rows.view(-1)
    index = torch.tensor([MANY - 1, MANY - 3, 2**31], device=DEVICE)
    values = torch.tensor([3.0, 1.0, 7.0], dtype=torch.float16, device=DEVICE)
    flat[2**31 :] = torch.arange(9.0, device=DEVICE)
    assert flat[2**31 :].tolist() == list(range(9))
    writes: list[Callable[[], object]] = [
        lambda: flat.index_put_((index,), values),
        lambda: flat.scatter_(0, index, values + 1),
        lambda: flat.index_copy_(0, index, values + 2),
        lambda: flat.put_(index, values + 3),
        lambda: flat.index_add_(0, index, values),
        lambda: flat.scatter_add_(0, index, values),
        lambda: flat.index_put_((index,), values, accumulate=True),
        lambda: rows.index_fill_(0, index, 5.0),
    ]
    expected = values.cpu()
    for number, write in enumerate(writes):
        write()
        wanted = [expected + number if number < 4 else expected * (number - 2) + 3, torch.full((3,), 5.0)][number == 7]
        reads = [flat[index], flat[index - MANY], flat.gather(0, index), flat.take(index), flat.index_select(0, index)]
        reads += [rows.index_select(0, index)[:, 0], F.embedding(index, rows)[:, 0]]
        for got in reads:
            assert got.tolist() == wanted.tolist(), number


def test_windows_of_planes_beyond_32_bits() -> None:
    """Windows far apart, of which only their own pages are committed."""
    width, step = 2**29 + 2, 2**28
    plane = torch.empty(1, 1, 5, width, dtype=torch.float16, device=DEVICE)
    numbers = torch.randn(5, 3, 2).half()
    for k in range(3):
        plane[0, 0, :, k * step : k * step + 2] = numbers[:, k].to(DEVICE)
    values, indices = F.max_pool2d(plane, (1, 2), (1, step), return_indices=True)
    assert torch.equal(values[0, 0].cpu(), numbers.amax(2))
    wanted = torch.arange(5)[:, None] * width + torch.arange(3) * step + numbers.argmax(2)
    assert torch.equal(indices[0, 0].cpu(), wanted)
    averages = F.avg_pool2d(plane, (1, 2), (1, step))
    torch.testing.assert_close(averages[0, 0].cpu(), numbers.mean(2))


@pytest.mark.slow
@pytest.mark.parametrize(
    ("function", "expected"),
    [
        (lambda x: x.sum(), float(MANY)),
        (lambda x: x[:1].half().expand(MANY).mean(), 1.0),
        (lambda x: x.amax(), 1.0),
        (lambda x: x.argmin(), 0.0),
        (lambda x: x.var(), 0.0),
        (lambda x: torch.linalg.vector_norm(x), MANY**0.5),
        (lambda x: x[:1].bool().expand(MANY).all(), 1.0),
        (lambda x: x[:1].bool().expand(MANY).sum(), float(MANY)),
        (lambda x: x[:1].bool().expand(MANY).count_nonzero(), float(MANY)),
    ],
)
def test_reductions_of_more_elements_than_32_bits_count(
    function: Callable[[torch.Tensor], torch.Tensor], expected: float
) -> None:
    """One number, repeated by a stride of 0: nothing is committed."""
    got = function(torch.ones(1, device=DEVICE).expand(MANY))
    assert got.item() == pytest.approx(expected, rel=1e-6)


@pytest.mark.slow
def test_reductions_of_matrices_of_more_elements_than_32_bits_count() -> None:
    for row in (torch.ones(32_769), torch.randn(32_769)):
        x = row.to(DEVICE).expand(65_537, 32_769)
        assert_matches(x.sum(0), row.double() * 65_537)
        assert_matches(x.sum(1)[::65_536], row.double().sum().expand(2))
        assert x.argmax(1)[::65_536].tolist() == [int(row.argmax())] * 2


@pytest.mark.slow
def test_a_dense_tensor_of_more_elements_than_32_bits_count() -> None:
    """2 GiB of int8, on the device alone."""
    x = torch.empty(MANY, dtype=torch.int8, device=DEVICE)
    x.fill_(1)
    x[-2:] = torch.tensor([3, 5])
    assert x[-4:].tolist() == [1, 1, 3, 5]
    assert x.sum().item() == MANY + 6
    assert x.argmax().item() == MANY - 1
    x.add_(1)
    assert x[:2].tolist() + x[2**31 - 2 : 2**31 + 1].tolist() + x[-2:].tolist() == [2] * 5 + [4, 6]
    assert [t.tolist() for t in x.topk(2)] == [[6, 4], [MANY - 1, MANY - 2]]
    x[:-1].view(-1, 8)[:, :7].neg_()
    assert x[-10:].tolist() == [2, -2, -2, -2, -2, -2, -2, -2, 4, 6]
    x[:8].copy_(x[-8:])
    assert x[:8].tolist() == [-2, -2, -2, -2, -2, -2, 4, 6]


@pytest.mark.slow
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.expand(MANY).contiguous(),
        lambda x: x.float().expand(MANY).to(torch.int8),
        lambda x: torch.cat([x.expand(2**30 + 9)] * 2),
        lambda x: x.expand(MANY) * 1,
        lambda x: torch.ones(MANY, dtype=torch.int8).to(x.device),
    ],
)
def test_results_of_more_elements_than_32_bits_count(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    got = function(torch.ones(1, dtype=torch.int8, device=DEVICE))
    assert got[:3].tolist() == got[2**31 - 1 : 2**31 + 2].tolist() == got[-3:].tolist() == [1, 1, 1]


@pytest.mark.slow
@pytest.mark.parametrize(
    "function",
    [
        lambda x: x.softmax(1),
        lambda x: x.log_softmax(1),
        lambda x: F.rms_norm(x, (1024,)),
        lambda x: F.layer_norm(x, (1024,)),
        F.gelu,
        lambda x: x.cumsum(1),
        lambda x: F.embedding(torch.zeros(1, dtype=torch.int64, device=x.device).expand(len(x)), x),
    ],
)
def test_results_of_more_bytes_than_32_bits_count(function: Callable[[torch.Tensor], torch.Tensor]) -> None:
    """2^29 numbers of 4 bytes."""
    x = torch.randn(1, 1024)
    got = function(x.to(DEVICE).expand(2**19 + 3, 1024))
    for row in (0, 2**18, 2**19 - 1, 2**19 + 2):
        assert_matches(got[row : row + 1], function(x.double()))
