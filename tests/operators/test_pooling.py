"""Pooling, its inverse, and unfolding against CPU torch: values by float64, indices, layouts and dtypes by its own."""

import random
from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from tests.operators.comparison import DEVICE, assert_matches, compare, on_device, random_tensor, wide

aten = torch.ops.aten
FORMATS = [torch.contiguous_format, torch.channels_last]
# kernel, stride, padding, dilation, ceil_mode
WINDOWS = [
    (2, 2, 0, 1, False),
    (3, 2, 1, 1, False),
    (3, 2, 1, 1, True),
    ([3, 2], [1, 3], [1, 0], [2, 1], False),
    (3, 1, 1, 1, False),
    (5, 3, 2, 1, True),
    ([2, 3], [3, 4], [0, 1], 1, False),
    (3, [2, 3], 1, 2, True),
    (8, 8, 0, 1, False),
    (1, 2, 0, 1, False),
]
SIZES = [[3, 4], [1, 1], [9, 11], [2, 8], [13, 20], [4, 1]]


def results(value: Any) -> list[Tensor]:
    return list(value) if isinstance(value, tuple) else [value]


def agree(function: Callable[..., Any], *tensors: Tensor, bound: float | None = None) -> None:
    """Indices are those of CPU torch, of the same numbers in the tensors' own dtype."""
    own = results(function(*tensors))
    got = results(function(*(on_device(t) for t in tensors)))
    expected = results(function(*(wide(t) for t in tensors)))
    for one, like, other in zip(got, own, expected, strict=True):
        assert one.dtype == like.dtype and one.stride() == like.stride()
        assert_matches(one, other if like.is_floating_point() else like, bound)


def pooled(x: Tensor, kernel: Any, stride: Any, padding: Any, dilation: Any, ceil: bool) -> None:
    """All of plain pooling."""
    spatial = x.dim() - 2
    many = lambda value: value if isinstance(value, list) else [value] * spatial  # noqa: E731
    at = many(kernel), many(stride), many(padding)
    maximum, maximum_backward, average, average_backward = (
        getattr(aten, name.format(spatial))
        for name in (
            "max_pool{}d_with_indices", "max_pool{}d_with_indices_backward", "avg_pool{}d", "avg_pool{}d_backward",
        )
    )  # fmt: skip
    agree(lambda t: maximum(t, *at, many(dilation), ceil), x)
    out, indices = maximum(x, *at, many(dilation), ceil)
    grad = random_tensor(*out.shape).to(x.dtype)
    agree(lambda g, t, i: maximum_backward(g, t, *at, many(dilation), ceil, i), grad, x, indices)
    if many(dilation) == [1] * spatial:
        finite = x.nan_to_num(0, 1, -1)
        for counts_padding, divisor in ((True, None), (False, None), (True, 3)):
            agree(lambda t: average(t, *at, ceil, counts_padding, divisor), finite)  # noqa: B023
            agree(lambda g, t: average_backward(g, t, *at, ceil, counts_padding, divisor), grad, finite)  # noqa: B023


@pytest.mark.parametrize("window", WINDOWS, ids=str)
@pytest.mark.parametrize("layout", FORMATS, ids=str)
def test_windows(window: tuple[Any, ...], layout: torch.memory_format) -> None:
    x = random_tensor(2, 3, 9, 11).contiguous(memory_format=layout)
    x[0, 0, 2:5, 3:6] = float("nan")
    x[0, 1] = -float("inf")
    pooled(x, *window)


@pytest.mark.parametrize("layout", [torch.contiguous_format, torch.channels_last_3d], ids=str)
@pytest.mark.parametrize(
    "window", [(2, 2, 0, 1, False), (3, [2, 1, 2], 1, 1, True), ([2, 3, 2], [1, 2, 3], 1, [1, 2, 1], False)]
)
def test_windows_of_three_dimensions(window: tuple[Any, ...], layout: torch.memory_format) -> None:
    pooled(random_tensor(2, 3, 5, 7, 6).contiguous(memory_format=layout), *window)


@pytest.mark.parametrize("size", SIZES, ids=str)
@pytest.mark.parametrize("layout", FORMATS, ids=str)
def test_adaptive(size: list[int], layout: torch.memory_format) -> None:
    x = random_tensor(2, 3, 9, 11).contiguous(memory_format=layout)
    agree(lambda t: aten._adaptive_avg_pool2d(t, size), x)
    agree(lambda t: aten.adaptive_max_pool2d(t, size), x)
    out, indices = aten.adaptive_max_pool2d(x, size)
    grad = random_tensor(*out.shape)
    agree(aten._adaptive_avg_pool2d_backward, grad, x)
    agree(aten.adaptive_max_pool2d_backward, grad, x, indices)
    x[:, :, 3:5, 2:6] = float("nan")
    agree(lambda t: aten.adaptive_max_pool2d(t, size), x)


@pytest.mark.parametrize("size", [[3, 4, 2], [1, 1, 1], [5, 7, 6], [7, 2, 9]], ids=str)
def test_adaptive_of_three_dimensions(size: list[int]) -> None:
    x = random_tensor(2, 3, 5, 7, 6)
    agree(lambda t: aten._adaptive_avg_pool3d(t, size), x)
    agree(lambda t: aten.adaptive_max_pool3d(t, size), x)
    out, indices = aten.adaptive_max_pool3d(x, size)
    grad = random_tensor(*out.shape)
    agree(aten._adaptive_avg_pool3d_backward, grad, x)
    agree(aten.adaptive_max_pool3d_backward, grad, x, indices)


@pytest.mark.parametrize("dtype", [torch.uint8, torch.int8, torch.int16, torch.int32, torch.int64, torch.float64])
def test_dtypes(dtype: torch.dtype) -> None:
    x = random_tensor(2, 3, 9, 11, dtype=dtype, low=-50, high=50)
    compare(lambda t: aten.max_pool2d_with_indices(t, [3, 3], [2, 2], [1, 1]), x)
    if dtype in (torch.int64, torch.float64):
        compare(lambda t: aten.avg_pool2d(t, [3, 2], [2, 2], [1, 1]), x)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
def test_half_precision(dtype: torch.dtype) -> None:
    pooled(random_tensor(2, 3, 9, 11, dtype=dtype), 3, 2, 1, 1, True)


@pytest.mark.parametrize("dtype", [torch.float32, torch.float64, torch.float16, torch.bfloat16])
def test_fractional(dtype: torch.dtype) -> None:
    x, samples = random_tensor(3, 4, 9, 13, dtype=dtype), torch.rand(3, 4, 2).to(dtype)
    for kernel, size in (([2, 2], [4, 6]), ([3, 2], [5, 1]), ([1, 1], [9, 13])):
        own = aten.fractional_max_pool2d(x, kernel, size, samples)
        got = aten.fractional_max_pool2d(x.to(DEVICE), kernel, size, samples.to(DEVICE))
        assert all(torch.equal(one.cpu(), other) for one, other in zip(got, own, strict=True))
        grad = random_tensor(*own[0].shape).to(dtype)
        agree(lambda g, t, i: aten.fractional_max_pool2d_backward(g, t, kernel, size, i), grad, x, own[1])  # noqa: B023
    x, samples = random_tensor(2, 3, 5, 9, 7, dtype=dtype), torch.rand(2, 3, 3).to(dtype)
    own = aten.fractional_max_pool3d(x, [2, 3, 2], [3, 2, 5], samples)
    got = aten.fractional_max_pool3d(x.to(DEVICE), [2, 3, 2], [3, 2, 5], samples.to(DEVICE))
    assert all(torch.equal(one.cpu(), other) for one, other in zip(got, own, strict=True))
    grad = random_tensor(*own[0].shape).to(dtype)
    agree(lambda g, t, i: aten.fractional_max_pool3d_backward(g, t, [2, 3, 2], [3, 2, 5], i), grad, x, own[1])


def places(planes: int, size: int, count: int) -> Tensor:
    return torch.stack([torch.randperm(size)[:count] for _ in range(planes)])


def test_unpooling() -> None:
    x, indices = random_tensor(2, 3, 4, 5), places(6, 80, 20).view(2, 3, 4, 5)
    for layout in FORMATS:
        agree(lambda t, i: aten.max_unpool2d(t, i, [8, 10]), x.contiguous(memory_format=layout), indices)
    x, indices = random_tensor(2, 3, 2, 4, 5), places(6, 320, 40).view(2, 3, 2, 4, 5)
    agree(lambda t, i: aten.max_unpool3d(t, i, [4, 8, 10], [2, 2, 2], [0, 0, 0]), x, indices)
    with pytest.raises(IndexError, match="index 99 is out of range of 16 elements"):
        aten.max_unpool2d(
            torch.ones(1, 1, 2, 2, device=DEVICE), torch.full((1, 1, 2, 2), 99, device=DEVICE), [4, 4]
        ).cpu()


def test_planes_longer_than_local_memory() -> None:
    x = random_tensor(1, 2, 600, 700)
    _, indices = aten.max_pool2d_with_indices(x, [3, 3], [2, 2])
    grad = random_tensor(*indices.shape)
    agree(
        lambda g, t, i: aten.max_pool2d_with_indices_backward(g, t, [3, 3], [2, 2], [0, 0], [1, 1], False, i),
        grad,
        x,
        indices,
    )


# kernel, dilation, padding, stride
BLOCKS = [
    ([2, 2], [1, 1], [0, 0], [2, 2]),
    ([3, 3], [1, 1], [1, 1], [1, 1]),
    ([3, 2], [1, 1], [1, 0], [2, 3]),
    ([2, 3], [2, 1], [1, 1], [1, 2]),
    ([3, 3], [1, 1], [0, 1], [5, 4]),
]


@pytest.mark.parametrize("blocks", BLOCKS, ids=str)
def test_unfolding(blocks: tuple[list[int], ...]) -> None:
    for shape in ((2, 3, 9, 11), (4, 8, 6)):
        x = random_tensor(*shape)
        columns = aten.im2col(x, *blocks)
        for dtype in (torch.float32, torch.float64, torch.bfloat16, torch.bool):
            agree(lambda t: aten.im2col(t, *blocks), x.to(dtype))
            agree(lambda t: aten.col2im(t, list(shape[-2:]), *blocks), columns.to(dtype))  # noqa: B023
        agree(lambda t: aten.im2col(t, *blocks), x.transpose(-1, -2))


@pytest.mark.parametrize("dtype", [torch.float32, torch.int64, torch.bool, torch.uint8])
def test_shuffled_channels(dtype: torch.dtype) -> None:
    x = random_tensor(2, 6, 3, 4, dtype=dtype)
    for layout in FORMATS:
        agree(lambda t: torch.channel_shuffle(t, 3), x.contiguous(memory_format=layout))
    agree(lambda t: torch.native_channel_shuffle(t, 2), x)


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    spatial = chance.choice([2, 2, 3])
    size = [chance.choice([3, 7, 16, 33]) for _ in range(spatial)]
    kernel = [chance.choice([1, 2, 3, 5, 7]) for _ in range(spatial)]
    kernel = [min(k, s) for k, s in zip(kernel, size, strict=True)]
    stride = [chance.choice([1, 2, 3, 4, k]) for k in kernel]
    padding = [chance.randrange(k // 2 + 1) for k in kernel]
    x = random_tensor(chance.choice([1, 3]), chance.choice([1, 5, 40]), *size)
    if chance.random() < 0.5:
        x = x.contiguous(memory_format=torch.channels_last if spatial == 2 else torch.channels_last_3d)
    pooled(x, kernel, stride, padding, 1, chance.random() < 0.5)


@pytest.mark.parametrize("seed", range(6))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(6, 60))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


def test_outputs() -> None:
    x = random_tensor(2, 3, 6, 8).to(DEVICE)
    expected = aten.max_pool2d_with_indices(x, [2, 2])
    out, indices = torch.empty(4, 3, 3, 4, device=DEVICE)[::2], torch.empty(0, dtype=torch.int64, device=DEVICE)
    aten.max_pool2d_with_indices(x, [2, 2], out=out, indices=indices)
    assert torch.equal(out, expected[0]) and torch.equal(indices, expected[1])
    out = torch.empty(2, 3, 4, 3, device=DEVICE).transpose(2, 3)
    aten.avg_pool2d.out(x, [2, 2], out=out)
    assert torch.equal(out, aten.avg_pool2d(x, [2, 2]))


def test_of_nothing() -> None:
    x = torch.empty(0, 3, 6, 8, device=DEVICE)
    assert aten.max_pool2d_with_indices(x, [2, 2])[0].shape == (0, 3, 3, 4)
    assert torch.nn.functional.adaptive_avg_pool2d(x, [2, 2]).shape == (0, 3, 2, 2)
    assert aten.im2col(x, [2, 2], [1, 1], [0, 0], [2, 2]).shape == (0, 12, 12)


def test_refused() -> None:
    x = torch.ones(2, 3, 6, 8, device=DEVICE)
    with pytest.raises(RuntimeError, match="pad should be at most half"):
        aten.max_pool2d_with_indices(x, [2, 2], [2, 2], [2, 2])
    with pytest.raises(NotImplementedError, match="not implemented for 'Bool'"):
        aten.max_pool2d_with_indices(x.bool(), [2, 2])
    with pytest.raises(NotImplementedError, match="not implemented for 'Int'"):
        aten.avg_pool2d(x.int(), [2, 2])
    with pytest.raises(RuntimeError, match="smaller than kernel size"):
        aten.avg_pool3d(x, [9, 9, 9])
    with pytest.raises(RuntimeError, match="indices should be type int64"):
        aten.max_unpool2d(x, torch.zeros(2, 3, 6, 8, dtype=torch.int32, device=DEVICE), [12, 16])
    with pytest.raises(RuntimeError, match="must be divisible by groups"):
        torch.channel_shuffle(x, 2)
    with pytest.raises(RuntimeError, match="elements of output_size must be greater than or equal to 0"):
        aten._adaptive_avg_pool2d(x, [-1, 2])
