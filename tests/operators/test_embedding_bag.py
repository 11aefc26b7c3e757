"""Bags of embeddings and reductions of segments, with their gradients, against CPU torch."""

import itertools
import random
from typing import Any

import pytest
import torch
from torch import Tensor, nn
from torch.nn import functional as F

from tests.operators.comparison import assert_matches, on_device

BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-6, torch.float16: 3e-3, torch.bfloat16: 2e-2}


def results_of(
    dtype: torch.dtype,
    weight: Tensor,
    indices: Tensor,
    offsets: Tensor | None,
    factors: Tensor | None,
    **keywords: Any,
) -> list[Tensor]:
    leaves = [tensor.requires_grad_() for tensor in (weight, factors) if tensor is not None]
    result = F.embedding_bag(indices, weight, offsets, per_sample_weights=factors, **keywords)
    torch.manual_seed(1)
    gradient = torch.randn(result.shape).to(dtype).to(device=result.device, dtype=result.dtype)
    return [result, *torch.autograd.grad(result, leaves, gradient)]


def check(
    weight: Tensor, indices: Tensor, offsets: Tensor | None, factors: Tensor | None = None, **keywords: Any
) -> None:
    given = (weight, indices, offsets, factors)
    ours = results_of(weight.dtype, *map(on_device, given), **keywords)
    wide = [tensor.double() if tensor is not None and tensor.is_floating_point() else tensor for tensor in given]
    for got, expected in zip(ours, results_of(weight.dtype, *wide, **keywords), strict=True):
        assert got.dtype == weight.dtype
        assert_matches(got, expected, BOUNDS[weight.dtype])


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    rows, length = chance.choice([1, 2, 9, 300]), chance.choice([1, 4, 16, 33, 300])
    bags = chance.choice([1, 2, 7, 100])
    sizes = torch.tensor([chance.choice([0, 1, 1, 3, 20]) for _ in range(bags)])
    ends = sizes.cumsum(0)
    items = int(ends[-1]) + chance.choice([0, 3])
    index_dtype = chance.choice([torch.int64, torch.int32])
    weight = torch.randn(rows, length).to(chance.choice(list(BOUNDS)))
    if chance.random() < 0.2:
        weight = weight.t().contiguous().t()
    mode = chance.choice(["sum", "mean", "max"])
    last = chance.random() < 0.5
    offsets = torch.cat([torch.zeros(1, dtype=torch.int64), ends if last else ends[:-1]])
    if last:
        offsets[-1] = items
    factors = torch.randn(items).to(weight.dtype) if mode == "sum" and chance.random() < 0.6 else None
    padding = chance.choice([None, 0, rows - 1])
    indices = torch.randint(0, rows, (items,)).to(index_dtype)
    keywords: dict[str, Any] = {"mode": mode, "include_last_offset": last, "padding_idx": padding}
    check(weight, indices, offsets.to(index_dtype), factors, **keywords)


@pytest.mark.parametrize("seed", range(40))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(40, 300))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


def test_rows_of_indices_are_bags() -> None:
    for mode in ("sum", "mean", "max"):
        check(torch.randn(50, 8), torch.randint(0, 50, (7, 3)), None, mode=mode)
    check(torch.randn(50, 8), torch.randint(0, 50, (0, 3)), None, mode="sum")


def test_frequent_rows_have_smaller_gradients() -> None:
    """Each row's gradient by how often it was taken, as documented; CPU torch counts another row."""
    weight = torch.randn(9, 5, device="mtia_sim", requires_grad=True)
    indices = torch.tensor([1, 1, 1, 4, 8, 4], device="mtia_sim")
    F.embedding_bag(indices, weight, torch.tensor([0, 2], device="mtia_sim"), scale_grad_by_freq=True).sum().backward()
    assert weight.grad is not None
    bags = weight.grad.cpu()
    weight.grad = None
    F.embedding_bag(indices, weight, torch.tensor([0, 2], device="mtia_sim")).sum().backward()
    counts = torch.bincount(indices.cpu(), minlength=9).clamp_min(1).unsqueeze(1)
    torch.testing.assert_close(bags, weight.grad.cpu() / counts)


@pytest.mark.parametrize("dtype", [torch.bfloat16, torch.float16])
def test_frequent_rows_are_counted_beyond_what_a_half_holds(dtype: torch.dtype) -> None:
    indices = torch.cat([torch.full((3000,), 2), torch.tensor([1, 4, 4])])
    weight = torch.randn(6, 4).to(dtype)
    got = on_device(weight).requires_grad_()
    expected = weight.double().requires_grad_()
    F.embedding(indices.to("mtia_sim"), got, scale_grad_by_freq=True).sum().backward()
    F.embedding(indices, expected, scale_grad_by_freq=True).sum().backward()
    assert got.grad is not None and expected.grad is not None
    torch.testing.assert_close(got.grad.cpu().double(), expected.grad, rtol=1e-2, atol=0)


def test_bags_of_a_module_and_what_the_operator_returns() -> None:
    bag = nn.EmbeddingBag(20, 6, mode="max", padding_idx=3)
    indices, offsets = torch.tensor([3, 1, 5, 5, 3]), torch.tensor([0, 1, 4])
    expected = torch.ops.aten._embedding_bag(bag.weight, indices, offsets, False, 2, False, None, False, 3)
    got = torch.ops.aten._embedding_bag(
        bag.weight.to("mtia_sim"), on_device(indices), on_device(offsets), False, 2, False, None, False, 3
    )
    for one, other in zip(got, expected, strict=True):
        torch.testing.assert_close(one.cpu(), other[: one.size(0)])


def test_items_behind_the_last_bag_are_in_none() -> None:
    indices, offsets = torch.tensor([1, 2, 1, 1]), torch.tensor([0, 1, 2])
    weight, factors = torch.randn(3, 5), torch.randn(4)
    leaves = [on_device(weight).requires_grad_(), on_device(factors).requires_grad_()]
    keywords: dict[str, Any] = {"mode": "sum", "per_sample_weights": leaves[1], "include_last_offset": True}
    result = F.embedding_bag(on_device(indices), leaves[0], on_device(offsets), **keywords)
    result.sum().backward()
    expected = torch.stack([weight[1] * factors[0], weight[2] * factors[1]])
    torch.testing.assert_close(result.detach().cpu(), expected)
    assert leaves[0].grad is not None and leaves[1].grad is not None
    torch.testing.assert_close(leaves[0].grad.cpu()[1], factors[0].expand(5))
    torch.testing.assert_close(
        leaves[1].grad.cpu(), torch.tensor([float(weight[1].sum()), float(weight[2].sum()), 0, 0])
    )


def test_rows_are_clipped_to_a_norm() -> None:
    for dtype, p in itertools.product((torch.float32, torch.float16), (1.0, 2.0, float("inf"))):
        weight = torch.randn(30, 8).to(dtype)
        indices = torch.randint(0, 30, (4, 5))
        ours = on_device(weight)
        got = F.embedding(on_device(indices), ours, max_norm=1.5, norm_type=p)
        expected = F.embedding(indices, weight, max_norm=1.5, norm_type=p)
        assert_matches(got, expected, BOUNDS[dtype])
        assert_matches(ours, weight, BOUNDS[dtype])
        F.embedding_bag(on_device(indices), ours, max_norm=1.0, norm_type=p)
        F.embedding_bag(indices, weight, max_norm=1.0, norm_type=p)
        assert_matches(ours, weight, BOUNDS[dtype])


def test_refused() -> None:
    weight = torch.randn(5, 3, device="mtia_sim")
    indices = torch.tensor([0, 7], device="mtia_sim")
    offsets = torch.tensor([0], device="mtia_sim")
    with pytest.raises(IndexError, match="index 7 is out of range of 5 rows"):
        F.embedding_bag(indices, weight, offsets)
        torch.accelerator.synchronize()
    with pytest.raises(ValueError, match="offset 9"):
        F.embedding_bag(torch.zeros_like(indices), weight, offsets + 9)
        torch.accelerator.synchronize()
    with pytest.raises(ValueError, match="first offset is 1"):
        F.embedding_bag(torch.zeros_like(indices), weight, offsets + 1)
        torch.accelerator.synchronize()
    with pytest.raises(RuntimeError, match="one type"):
        torch.ops.aten._embedding_bag(
            weight, indices, offsets, False, 0, False, torch.ones(2, device="mtia_sim").double()
        )
    with pytest.raises(RuntimeError, match="scalar types: Long, Int"):
        torch.ops.aten._embedding_bag(weight, indices.float(), offsets)


@pytest.mark.parametrize("reduce", ["sum", "mean", "max", "min", "prod"])
@pytest.mark.parametrize("initial", [None, 1.5])
def test_segments(reduce: str, initial: float | None) -> None:
    cases: list[tuple[list[int], int, Any, bool]] = [
        *(([9], 0, [3, 0, 6], False), ([9, 33], 0, [3, 1, 0, 5], False), ([9, 4], 0, [3, 4], True)),
        *(([2, 6, 5], 1, [[2, 0, 4], [1, 5, 0]], False), ([2, 6], 1, [[6], [6]], False), ([4, 3], 0, [0, 0, 4], False)),
    ]
    for sizes, axis, lengths, unsafe in cases:
        for way in ("lengths", "offsets"):
            data = torch.randn(sizes, dtype=torch.float64)
            data.view(-1)[1], data.view(-1)[2] = 0, data.view(-1)[3]
            if reduce != "prod":
                data.view(-1)[-1] = float("nan")
            given = torch.tensor(lengths)
            if way == "offsets":
                given = torch.cat([given.new_zeros([*given.shape[:-1], 1]), given.cumsum(-1)], -1)
            results = []
            for place in (on_device, torch.clone):
                x = place(data).requires_grad_()
                keywords = {way: place(given), "axis": axis, "unsafe": unsafe, "initial": initial}
                result = torch.segment_reduce(x, reduce, **keywords)
                results.append([result, *torch.autograd.grad(result.sin().sum(), x)])
            for got, expected in zip(*results, strict=True):
                assert_matches(got, expected.detach(), 1e-12)


def test_refused_segments() -> None:
    x = torch.randn(5, device="mtia_sim")
    with pytest.raises(RuntimeError, match="sum to"):
        torch.segment_reduce(x, "sum", lengths=torch.tensor([1, 3], device="mtia_sim"))
    with pytest.raises(RuntimeError, match="must be defined"):
        torch.segment_reduce(x, "sum")
    with pytest.raises(RuntimeError, match="reduce argument"):
        torch.segment_reduce(x, "median", lengths=torch.tensor([5], device="mtia_sim"))
