"""Reading and writing by index tensors, masks and positions; sorting; joining and rearranging; creation."""

import pytest
import torch

from tests.operators.comparison import DEVICE, assert_matches, compare, on_device, random_tensor

DTYPES = [torch.float32, torch.bfloat16, torch.int64, torch.bool]


@pytest.mark.parametrize("dtype", DTYPES)
def test_index(dtype: torch.dtype) -> None:
    x = random_tensor(6, 7, 5, dtype=dtype)
    i, j = torch.tensor([0, 5, -1, 2]), torch.tensor([[1], [-7]])
    compare(lambda t, a: t[a], x, i)
    compare(lambda t, a: t[:, a[:3]], x, i)
    compare(lambda t, a, b: t[a, b], x, i, j)
    compare(lambda t, a, b: t[a, :, b.clamp(-2, 2)], x, i, j)
    compare(lambda t, m: t[m], x, random_tensor(6, 7, dtype=torch.bool))
    compare(lambda t, a: t.transpose(0, 2)[a[1:3].clamp(0, 3)], x, i)


@pytest.mark.parametrize("dtype", DTYPES)
def test_index_put(dtype: torch.dtype) -> None:
    x, values = random_tensor(6, 7, dtype=dtype), random_tensor(3, 7, dtype=dtype)
    i = torch.tensor([4, 0, -1])
    compare(lambda t, a, v: t.clone().index_put_((a,), v), x, i, values)
    compare(lambda t, a: t.clone().index_put_((a, a), t[0, 0]), x, i)
    if dtype in (torch.float32, torch.int64):
        repeated = torch.tensor([2, 2, 2])
        compare(lambda t, a, v: t.clone().index_put_((a,), v, accumulate=True), x, repeated, values)


def test_out_of_range_index_raises_and_the_device_lives_on() -> None:
    x = torch.ones(4, device=DEVICE)
    with pytest.raises(Exception, match=r"(?i)range|bounds"):
        x[torch.tensor([9], device=DEVICE)].cpu()
    assert float((x + 1).sum()) == 8.0


@pytest.mark.parametrize("dim", [0, 1, -1])
def test_gather_and_scatter(dim: int) -> None:
    x, source = random_tensor(5, 6, 4), random_tensor(5, 6, 4)
    index = torch.randint(0, 4, (4, 3, 2))
    unique = torch.argsort(torch.rand(5, 6, 4), dim)
    compare(lambda t, i: t.gather(dim, i), x, index)
    compare(lambda t, i, s: t.scatter(dim, i, s), x, unique, source)
    compare(lambda t, i: t.scatter(dim, i, 7.0), x, index)
    compare(lambda t, i, s: t.scatter_add(dim, i, s), x, index, source)
    compare(lambda t, i, s: t.scatter_reduce(dim, i, s, "amax"), x, index, source)
    compare(lambda t, i, s: t.scatter_reduce(dim, i, s, "mean"), x, index, source)
    compare(lambda t, i: torch.take_along_dim(t, i, dim), x, unique)


@pytest.mark.parametrize("dim", [0, 1, 2])
def test_along_a_dimension(dim: int) -> None:
    x, i = random_tensor(4, 5, 6), torch.tensor([3, 0, 1])
    source = random_tensor(*[3 if d == dim else n for d, n in enumerate(x.shape)])
    compare(lambda t, a: t.index_select(dim, a), x, i)
    compare(lambda t, a, s: t.index_copy(dim, a, s), x, i, source)
    compare(lambda t, a, s: t.index_add(dim, a, s, alpha=2), x, i, source)
    compare(lambda t, a: t.index_fill(dim, a, -1.0), x, i)
    compare(lambda t: t.flip(dim).roll(2, dim), x)
    compare(lambda t: torch.cat([t, t[..., :6] * 2, t], dim), x)
    compare(lambda t: torch.stack([t, t + 1], dim), x)


def test_masks() -> None:
    x, mask = random_tensor(6, 9), random_tensor(6, 9, dtype=torch.bool)
    compare(torch.nonzero, mask)
    compare(torch.nonzero, random_tensor(3, 4, 5, dtype=torch.int32, low=-1, high=1))
    compare(torch.nonzero, torch.zeros(3))
    compare(torch.masked_select, x, mask)
    compare(lambda t, m: t.masked_scatter(m, t.flip(0)), x, mask)
    compare(lambda t, m: t.masked_fill(m, 3), x, mask)
    compare(torch.isin, torch.arange(9), torch.tensor([2, 3, 8, 20]))


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.int64, torch.uint8])
def test_sort(dtype: torch.dtype) -> None:
    x = random_tensor(5, 40, dtype=dtype, low=-9, high=9)
    compare(lambda t: torch.sort(t, dim=1, stable=True), x)
    compare(lambda t: torch.sort(t, dim=0, descending=True, stable=True), x)
    y = torch.randperm(200).view(4, 50).to(dtype if dtype != torch.uint8 else torch.int16).float()
    compare(lambda t: torch.topk(t, 7), y)
    compare(lambda t: torch.topk(t, 3, dim=0, largest=False), y)
    compare(lambda t: torch.median(t, 1), y)


def test_sort_puts_nan_last() -> None:
    x = torch.tensor([3.0, float("nan"), -float("inf"), 1.0, float("inf")])
    compare(lambda t: t.sort(), x)
    compare(lambda t: t.sort(descending=True), x)


def test_gradients() -> None:
    x, i = random_tensor(5, 6), torch.tensor([[0, 4, 4], [1, 0, 2]])
    compare(lambda t, a: t[a], x, i, gradients=True)
    compare(lambda t, a: t.gather(0, a), x, i, gradients=True)
    compare(lambda t, a: t.index_select(0, a[0]), x, i, gradients=True)
    compare(lambda t: torch.cat([t, t * 2], 1).tril(1), x, gradients=True)
    compare(lambda w, a: torch.nn.functional.embedding(a, w), x, i, gradients=True)
    compare(lambda w, a: torch.nn.functional.embedding(a, w, padding_idx=4), x, i, gradients=True)


def test_embedding_repeats_are_summed() -> None:
    weight, indices = random_tensor(11, 64), torch.randint(0, 11, (4, 50))
    compare(lambda w, a: torch.nn.functional.embedding(a, w), weight, indices, gradients=True)
    compare(lambda w, a: torch.nn.functional.embedding(a, w), weight.bfloat16(), indices)


@pytest.mark.parametrize("diagonal", [-3, 0, 1, 9])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bool, torch.bfloat16])
def test_triangles(diagonal: int, dtype: torch.dtype) -> None:
    x = random_tensor(3, 7, 5, dtype=dtype)
    compare(torch.tril, x, diagonal)
    compare(torch.triu, x.transpose(1, 2), diagonal)
    d = on_device(x)
    assert_matches(d.triu_(diagonal), x.triu(diagonal))


def test_creation() -> None:
    for make in (
        lambda **k: torch.arange(17, **k),
        lambda **k: torch.arange(2, 40, 3, **k),
        lambda **k: torch.arange(1.0, -3.0, -0.3, **k),
        lambda **k: torch.arange(5, dtype=torch.bfloat16, **k),
        lambda **k: torch.linspace(-1, 2, 31, **k),
        lambda **k: torch.eye(4, 6, **k),
        lambda **k: torch.full((3, 2), 2.5, **k),
        lambda **k: torch.ones(3, dtype=torch.int16, **k),
        lambda **k: torch.zeros(0, 3, **k),
        lambda **k: torch.tril_indices(4, 5, 1, **k),
        lambda **k: torch.full((3,), float("-inf"), dtype=torch.float16, **k),
    ):
        expected = make()
        got = make(device=DEVICE)
        assert got.dtype == expected.dtype
        assert_matches(got, expected)
    x = torch.empty(6, 4, device=DEVICE)[:, ::2]
    x.fill_(3).zero_()
    assert float(x.sum()) == 0.0
    assert torch.equal(torch.ones(3, device=DEVICE), torch.ones(3, device=DEVICE))
    assert torch.allclose(torch.ones(3, device=DEVICE), torch.ones(3, device=DEVICE) + 1e-7)
