"""Losses of margins and of sequences, random slopes, and small operators on contents, against CPU torch."""

import itertools
import random

import pytest
import torch
from torch import Tensor
from torch.nn import functional as F

from tests.operators.comparison import assert_matches, compare, on_device, random_tensor

REDUCTIONS = ("none", "mean", "sum")


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins_of_one_target(reduction: str) -> None:
    for p, weighted, sizes in itertools.product((1, 2), (False, True), ([5, 7], [1, 1], [33, 130])):
        x, target = random_tensor(*sizes), torch.randint(0, sizes[1], (sizes[0],))
        weight = random_tensor(sizes[1], low=0.5) if weighted else None

        def loss(x: Tensor, target: Tensor, weight: Tensor | None, p: int = p) -> Tensor:
            return F.multi_margin_loss(x, target, p, 0.7, weight, reduction=reduction)

        got, expected = on_device(x).requires_grad_(), x.double().requires_grad_()
        results = [
            loss(got, on_device(target), on_device(weight)),
            loss(expected, target, None if weight is None else weight.double()),
        ]
        for result in results:
            result.sum().backward()
        assert_matches(results[0], results[1])
        assert_matches(got.grad, expected.grad)
    compare(lambda x, target: F.multi_margin_loss(x, target, reduction=reduction), random_tensor(6), torch.tensor(2))


@pytest.mark.parametrize("reduction", REDUCTIONS)
def test_margins_of_several_targets(reduction: str) -> None:
    for sizes in ([4, 6], [6], [20, 33]):
        target = torch.rand(sizes).argsort(-1)
        target[..., 2] = -1
        target[0] = target[0].clamp_min(0) if len(sizes) == 2 else target[0]

        def loss(x: Tensor, target: Tensor) -> Tensor:
            return F.multilabel_margin_loss(x, target, reduction=reduction)

        compare(loss, random_tensor(*sizes), target, gradients=True)


@pytest.mark.parametrize("bad", [-2, 3])
@pytest.mark.parametrize("place", [0, 2])
def test_targets_that_are_no_classes(bad: int, place: int) -> None:
    """Behind the end too, as on the CPU."""
    target = torch.tensor([[1, -1, -1], [0, -1, -1]])
    target[1, place] = bad
    for device in ("cpu", "mtia_sim"):
        with pytest.raises(RuntimeError, match=r"target.* is out of range"):
            F.multilabel_margin_loss(torch.ones(2, 3, device=device), target.to(device))
            torch.mtia_sim.synchronize()


def sequence_loss(
    log_probs: Tensor, targets: Tensor, lengths: list[int], sizes: list[int], reduction: str, zero: bool
) -> list[Tensor]:
    x = log_probs.requires_grad_()
    loss = F.ctc_loss(x, targets, lengths, sizes, reduction=reduction, zero_infinity=zero)
    return [loss, *torch.autograd.grad(loss.sum(), x)]


def drawn(seed: int) -> None:
    chance = random.Random(seed)
    torch.manual_seed(seed)
    steps, batch, classes = chance.choice([1, 7, 40]), chance.choice([1, 3, 9]), chance.choice([2, 5, 30])
    lengths = [chance.randint(1, steps) for _ in range(batch)]
    sizes = [chance.randint(0, max(1, length // 2)) for length in lengths]
    targets = torch.randint(1, classes, (batch, max(1, *sizes)))
    if chance.random() < 0.5:
        targets = torch.cat([row[:size] for row, size in zip(targets, sizes, strict=True)])
    dtype = chance.choice([torch.float64, torch.float32])
    log_probs = torch.randn(steps, batch, classes).log_softmax(2).to(dtype)
    reduction, zero = chance.choice(REDUCTIONS), chance.random() < 0.5
    ours = sequence_loss(on_device(log_probs), on_device(targets), lengths, sizes, reduction, zero)
    expected = sequence_loss(log_probs.double(), targets, lengths, sizes, reduction, zero)
    for one, other in zip(ours, expected, strict=True):
        assert one.dtype == dtype
        assert_matches(one, other.detach(), 1e-10 if dtype == torch.float64 else 1e-4)


@pytest.mark.parametrize("seed", range(16))
def test_drawn_sequences(seed: int) -> None:
    drawn(seed)


@pytest.mark.slow
@pytest.mark.parametrize("seed", range(16, 120))
def test_many_drawn_sequences(seed: int) -> None:
    drawn(seed)


def test_random_slopes() -> None:
    x = random_tensor(40, 33)
    x[0, 0] = float("nan")
    compare(lambda x: F.rrelu(x, 0.1, 0.4), x, gradients=True)
    given = on_device(x).requires_grad_()
    result = F.rrelu(given, 0.1, 0.4, training=True)
    result.sum().backward()
    assert given.grad is not None
    slopes = given.grad.cpu()
    assert torch.equal(slopes[x > 0], torch.ones_like(slopes[x > 0]))
    below = slopes[x <= 0]
    assert 0.1 <= below.min() < 0.12 and 0.38 < below.max() <= 0.4
    torch.testing.assert_close(result.detach().cpu(), x * slopes, equal_nan=True)


def test_hashes() -> None:
    for dtype in (torch.float32, torch.bfloat16, torch.int8, torch.uint8, torch.int64, torch.bool, torch.float64):
        x = random_tensor(3, 5, 600, dtype=dtype)
        for dim in ((), (0,), (1, 2), (-1,)):
            for keep in (False, True):
                expected = torch.hash_tensor(x, dim, keepdim=keep)
                assert torch.equal(torch.hash_tensor(on_device(x), dim, keepdim=keep).cpu(), expected)
    long = random_tensor(300000)
    for x in (long, long.view(3, -1).t(), long.view(10, 30, 1000)[::2, :, 1:7]):
        for dims in ((), (0,)):
            assert torch.equal(torch.hash_tensor(on_device(x), dims).cpu(), torch.hash_tensor(x, dims))


def test_hashes_that_cpu_torch_refuses() -> None:
    for dtype in (torch.uint16, torch.uint32, torch.uint64, torch.complex64, torch.float8_e5m2):
        for x in (torch.ones(3).to(dtype), torch.ones(3).to(dtype).to("mtia_sim")):
            with pytest.raises(NotImplementedError, match="xor_sum_cpu"):
                torch.hash_tensor(x)
    for x in (torch.ones(3), torch.ones(3, device="mtia_sim")):
        with pytest.raises(RuntimeError, match="Unknown hash_tensor mode: 1"):
            torch.hash_tensor(x, mode=1)


def test_a_fixed_number_of_places() -> None:
    for x in (torch.tensor(3.0), random_tensor(5, 4, dtype=torch.int32, low=0, high=1), torch.zeros(2, 0)):
        for size in (0, 3, 50):
            expected = torch.nonzero_static(x, size=size, fill_value=7)
            assert torch.equal(torch.nonzero_static(on_device(x), size=size, fill_value=7).cpu(), expected)


def test_refused() -> None:
    x, target = torch.randn(2, 3, device="mtia_sim"), torch.tensor([0, 3], device="mtia_sim")
    with pytest.raises(IndexError, match="index 3"):
        F.multi_margin_loss(x, target)
        torch.accelerator.synchronize()
    with pytest.raises(RuntimeError, match="scalar type Long"):
        F.multi_margin_loss(x, target.int())
    with pytest.raises(RuntimeError, match="inconsistent target size"):
        F.multilabel_margin_loss(x, target)
    with pytest.raises(RuntimeError, match="at most 1"):
        F.ctc_loss(x[None], target[:, None], [2, 1], [1, 1])
    with pytest.raises(IndexError, match="target 3"):
        F.ctc_loss(x[None], target[:, None], [1, 1], [1, 1])
        torch.accelerator.synchronize()
    with pytest.raises(RuntimeError, match="non-negative"):
        torch.nonzero_static(x, size=-1)
