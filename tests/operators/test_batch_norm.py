"""Batch normalisation in all overloads, its backward passes and SyncBatchNorm's parts, against float64 CPU torch."""

import copy
import itertools
import random

import pytest
import torch
from torch import Tensor, nn

from tests.operators.comparison import DEVICE, assert_matches, compare, on_device, random_tensor

BOUNDS = {torch.float64: 1e-12, torch.float32: 2e-5, torch.float16: 5e-3, torch.bfloat16: 4e-2}
SHAPES = [(6, 5), (2, 3, 7), (3, 5, 4, 6), (2, 3, 2, 3, 5), (1, 1, 9), (40, 33, 65), (2, 1, 130, 70)]


def parameters(channels: int, dtype: torch.dtype) -> list[Tensor]:
    """Weight, bias, running mean and running variance."""
    low = [-2.0, -2.0, -1.0, 0.5]
    return [random_tensor(channels, dtype=dtype, low=each, high=2.0) for each in low]


def check(x: Tensor, given: list[Tensor | None], train: bool, momentum: float = 0.2, eps: float = 1e-3) -> None:
    """Results, statistics and gradients; those of CPU torch in x's own dtype say what dtypes are right."""
    wide = [None if t is None else t.double() for t in (x, *given)]
    near = [None if t is None else on_device(t) for t in (x, *given)]
    own = torch.native_batch_norm(x, *(None if t is None else t.clone() for t in given), train, momentum, eps)
    for tensors in (wide, near):
        for tensor in tensors[:3]:
            if tensor is not None:
                tensor.requires_grad_()
    expected = torch.native_batch_norm(*wide, train, momentum, eps)
    got = torch.native_batch_norm(*near, train, momentum, eps)
    bound = BOUNDS[x.dtype]
    for one, other, like in zip(got, expected, own, strict=True):
        assert one.dtype == like.dtype and one.stride() == like.stride()
        assert_matches(one, other, bound)
    for one, other in zip(near[3:], wide[3:], strict=True):
        if one is not None and other is not None:
            assert_matches(one, other, BOUNDS[one.dtype])
    gradient = torch.randn(x.shape).to(x.dtype)
    inputs = [[t for t in tensors[:3] if t is not None] for tensors in (near, wide)]
    found = torch.autograd.grad(got[0], inputs[0], gradient.to(DEVICE))
    wanted = torch.autograd.grad(expected[0], inputs[1], gradient.double())
    for one, other, at in zip(found, wanted, inputs[0], strict=True):
        assert one.dtype == at.dtype
        # What is left of a gradient that cancels, as that of two elements does, is rounding: of the statistics too.
        error = (one.cpu().double() - other).norm() / max(float(other.norm()), float(gradient.double().norm()))
        assert error <= 4 * bound, f"relative error {error:.3g}"


@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", list(BOUNDS))
@pytest.mark.parametrize("train", [True, False])
def test_of_one_dtype(shape: tuple[int, ...], dtype: torch.dtype, train: bool) -> None:
    x = random_tensor(*shape, dtype=dtype)
    check(x, list(parameters(shape[1], dtype)), train)
    if train:
        check(x, [None] * 4, train)
    if len(shape) >= 4:
        last = torch.channels_last if len(shape) == 4 else torch.channels_last_3d
        check(x.contiguous(memory_format=last), list(parameters(shape[1], dtype)), train)


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16])
@pytest.mark.parametrize("train", [True, False])
def test_of_mixed_dtypes(dtype: torch.dtype, train: bool) -> None:
    x = random_tensor(4, 7, 5, 3, dtype=dtype)
    check(x, list(parameters(7, torch.float32)), train)
    check(x, [None, None, *parameters(7, torch.float32)[2:]], train)


@pytest.mark.parametrize("train", [True, False])
def test_of_what_is_not_contiguous(train: bool) -> None:
    x = random_tensor(6, 4, 5).transpose(0, 1)
    given = [t[::2] for t in parameters(12, torch.float32)]
    near = [on_device(x), *(t.to(DEVICE)[:] for t in given)]
    running = torch.zeros(12, device=DEVICE)[::2], torch.ones(12, device=DEVICE)[::2]
    for moved, start in zip(running, given[2:], strict=True):
        moved.copy_(start)
    got = torch.native_batch_norm(*near[:3], *running, train, 0.1, 1e-5)
    wide = [t.double() for t in (x, *given)]
    expected = torch.native_batch_norm(*wide, train, 0.1, 1e-5)
    for one, other in zip([*got, *running], [*expected, *wide[3:]], strict=True):
        assert_matches(one, other, 1e-5)


def test_outliers_cost_little_precision() -> None:
    """Deviations are from the mean of a first tile: whatever lies there."""
    for place, amount in itertools.product((0, 5000, -1), (1e4, 1e6)):
        x = random_tensor(3, 2, 8000) + 100
        x[0, :, place] = amount
        _, mean, inverse = torch.native_batch_norm(x.to(DEVICE), None, None, None, None, True, 0.1, 1e-5)
        _, wide_mean, wide_inverse = torch.native_batch_norm(x.double(), None, None, None, None, True, 0.1, 1e-5)
        assert_matches(mean, wide_mean, 1e-5)
        assert_matches(inverse, wide_inverse, 1e-5)


def test_special_values() -> None:
    x = random_tensor(4, 6, 3)
    x[1, 0, 0], x[2, 1, 1], x[0, 2, 0] = float("nan"), float("inf"), -float("inf")
    x[:, 3] = 2.0
    compare(lambda t: torch.native_batch_norm(t, None, None, None, None, True, 0.1, 0.0), x, bound=2e-5)
    one = torch.ones(1, 3)
    running = [torch.ones(3), torch.ones(3)]
    compare(lambda t, m, v: [*torch.native_batch_norm(t, None, None, m, v, True, 0.1, 1e-5), m, v], one, *running)


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    dtype = chance.choice(list(BOUNDS))
    size = [chance.choice([2, 3, 17, 64, 300]) for _ in range(chance.choice([0, 1, 2, 3]))]
    shape = [chance.choice([2, 3, 20, 129]), chance.choice([1, 3, 16, 70, 513]), *size]
    while torch.Size(shape).numel() > 100_000:
        shape[chance.randrange(len(shape))] = 2
    x = random_tensor(*shape, dtype=dtype)
    narrow = dtype in (torch.float16, torch.bfloat16)
    given = parameters(shape[1], torch.float32 if narrow and chance.random() < 0.5 else dtype)
    affine = [chance.random() < 0.8] * 2 + [True] * 2
    if len(shape) == 4 and chance.random() < 0.5:
        x = x.contiguous(memory_format=torch.channels_last)
    check(x, [t if keep else None for t, keep in zip(given, affine, strict=True)], chance.random() < 0.7)


@pytest.mark.parametrize("seed", range(10))
def test_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(10, 70))
def test_many_drawn(seed: int) -> None:
    drawn(seed)


@pytest.mark.parametrize(
    ("kind", "shape"),
    [
        (nn.BatchNorm1d, (5, 6)),
        (nn.BatchNorm1d, (5, 6, 4)),
        (nn.BatchNorm2d, (5, 6, 4, 3)),
        (nn.BatchNorm3d, (2, 6, 4, 3, 2)),
    ],
)
def test_modules(kind: type[nn.Module], shape: tuple[int, ...]) -> None:
    reference = kind(6).double()  # type: ignore[call-arg]
    module = copy.deepcopy(reference).float().to(DEVICE)
    for step in range(4):
        if step == 3:
            reference.eval()
            module.eval()
        x = random_tensor(*shape)
        expected, got = reference(x.double()), module(x.to(DEVICE))
        assert_matches(got, expected, 1e-5)
    for name, value in module.state_dict().items():
        assert_matches(value, reference.state_dict()[name], 1e-5)


def test_other_overloads() -> None:
    x, (weight, bias, mean, variance) = random_tensor(4, 3, 5), parameters(3, torch.float32)
    given = x, weight, bias, mean, variance
    aten = torch.ops.aten
    bound = 2e-5
    compare(lambda *a: [*aten._native_batch_norm_legit(*a, True, 0.1, 1e-5), *a[3:]], *given, bound=bound)
    compare(lambda *a: aten._native_batch_norm_legit.no_stats(*a, True, 0.1, 1e-5), x, weight, bias, bound=bound)
    compare(lambda *a: aten._native_batch_norm_legit_no_training(*a, 0.1, 1e-5), *given, bound=bound)
    compare(lambda *a: [*aten._batch_norm_with_update(*a, 0.1, 1e-5), *a[3:]], *given, bound=bound)
    compare(lambda *a: aten._batch_norm_no_update(*a, 0.1, 1e-5), *given, bound=bound)
    compare(lambda *a: [*aten.batch_norm_update_stats(*a, 0.1), *a[1:]], x, mean, variance, bound=bound)


def test_outputs() -> None:
    x = random_tensor(4, 3, 5).to(DEVICE)
    expected = torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
    held = torch.empty(8, 3, 5, device=DEVICE)[::2], torch.empty(6, device=DEVICE)[::2], torch.empty(3, device=DEVICE)
    torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5, out=held)
    for one, other in zip(held, expected, strict=True):
        assert torch.equal(one, other)


def test_parts_of_synchronised_normalisation() -> None:
    """Two halves of a batch, normalised and differentiated together, are the whole batch."""
    x, gradient = random_tensor(6, 3, 5), random_tensor(6, 3, 5)
    weight, bias, mean, variance = parameters(3, torch.float32)
    wide = [t.double() for t in (x, weight, bias, mean, variance)]
    for tensor in wide[:3]:
        tensor.requires_grad_()
    expected = torch.native_batch_norm(*wide, True, 0.1, 1e-5)[0]
    wanted = torch.autograd.grad(expected, wide[:3], gradient.double())

    parts, gradients = x.to(DEVICE).split([2, 4]), gradient.to(DEVICE).split([2, 4])
    w, b, m, v = (t.to(DEVICE) for t in (weight, bias, mean, variance))
    moments = [torch.batch_norm_stats(part, 1e-5) for part in parts]
    counts = torch.tensor([10.0, 20.0], device=DEVICE)
    whole, inverse = torch.batch_norm_gather_stats_with_counts(
        x, torch.stack([a for a, _ in moments]), torch.stack([a for _, a in moments]), m, v, 0.1, 1e-5, counts
    )
    got = torch.cat([torch.batch_norm_elemt(part, w, b, whole, inverse, 1e-5) for part in parts])
    sums = [
        torch.batch_norm_backward_reduce(g, part, whole, inverse, w, True, True, True)
        for g, part in zip(gradients, parts, strict=True)
    ]
    total = [a + b for a, b in zip(*sums, strict=True)]
    grad_x = torch.cat(
        [
            torch.batch_norm_backward_elemt(g, part, whole, inverse, w, *total[:2], counts)
            for g, part in zip(gradients, parts, strict=True)
        ]
    )
    found = [got, grad_x, *total[2:], m, v]
    for one, other in zip(found, [expected, *wanted, *wide[3:]], strict=True):
        assert_matches(one, other, 2e-5)


def test_of_nothing() -> None:
    for shape in ((0, 3, 4), (2, 3, 0)):
        x = torch.empty(shape, device=DEVICE)
        with pytest.raises(RuntimeError, match="at least one element"):
            torch.native_batch_norm(x, None, None, None, None, True, 0.1, 1e-5)
        running = torch.ones(3, device=DEVICE)
        assert torch.native_batch_norm(x, None, None, running, running, False, 0.1, 1e-5)[0].shape == shape


def test_refused() -> None:
    x = random_tensor(4, 3, 5).to(DEVICE)
    three, four = torch.ones(3, device=DEVICE), torch.ones(4, device=DEVICE)
    with pytest.raises(RuntimeError, match="weight should contain 3 elements not 4"):
        torch.native_batch_norm(x, four, three, None, None, True, 0.1, 1e-5)
    with pytest.raises(RuntimeError, match="must be defined in evaluation mode"):
        torch.native_batch_norm(x, three, three, None, None, False, 0.1, 1e-5)
    with pytest.raises(RuntimeError, match="mixed dtype"):
        torch.native_batch_norm(x, three.bfloat16(), three.bfloat16(), None, None, True, 0.1, 1e-5)
    with pytest.raises(RuntimeError, match="expected scalar type BFloat16 but found Float"):
        torch.native_batch_norm(x.bfloat16(), three.bfloat16(), three, None, None, True, 0.1, 1e-5)
    with pytest.raises(NotImplementedError, match="not implemented for 'Int'"):
        torch.native_batch_norm(x.int(), None, None, None, None, True, 0.1, 1e-5)
    with pytest.raises(IndexError, match="Dimension out of range"):
        torch.native_batch_norm(three, None, None, None, None, True, 0.1, 1e-5)
