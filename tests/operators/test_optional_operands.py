"""Each subset of the optional operands and wanted results of each operator that has some, against CPU torch.

An operand that is not there has no address: a kernel that would use it all the same is refused by name when its launch
is planned, instead of storing at address zero.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator
from typing import Any

import pytest
import torch
import torch.nn.functional as F

from mtia_sim import _C
from mtia_sim.launch_bridge import LaunchBridge
from mtia_sim_kernels import launch_shape
from mtia_sim_kernels.launch_shape import Launch, Tensor
from tests.operators.comparison import DEVICE, assert_matches, on_device, random_tensor

aten = torch.ops.aten
Subset = tuple[bool, ...]


def subsets(count: int) -> list[Subset]:
    return list(itertools.product((False, True), repeat=count))


def name_of(subset: Subset) -> str:
    return "".join("1" if chosen else "0" for chosen in subset)


def given(present: bool, tensor: torch.Tensor) -> torch.Tensor | None:
    return tensor if present else None


def same(function: Callable[..., Any], *arguments: Any, bound: float = 2e-5, cpu: tuple[Any, ...] = ()) -> None:
    """function(*arguments) on the device and on the CPU (of `cpu`, where given): the same results, absent ones too."""
    expected = function(*(cpu or arguments))
    got = function(*[torch.utils._pytree.tree_map(on_device, argument) for argument in arguments])
    pairs = [(got, expected)] if isinstance(expected, torch.Tensor) else list(zip(got, expected, strict=True))
    for g, e in pairs:
        assert (g is None) == (e is None), "one of two results is absent"
        if e is not None:
            assert g.device.type == DEVICE and g.dtype == e.dtype
            assert_matches(g, e, bound)
    torch.mtia_sim.synchronize()


@pytest.mark.parametrize("length", [3, 300, 9000])
@pytest.mark.parametrize("subset", subsets(2), ids=name_of)
def test_layer_norm(subset: Subset, length: int) -> None:
    x, grad = random_tensor(5, length), random_tensor(5, length)
    weight, bias = given(subset[0], random_tensor(length)), given(subset[1], random_tensor(length))
    same(lambda x, w, b: aten.native_layer_norm(x, [length], w, b, 1e-5), x, weight, bias)
    _, mean, rstd = aten.native_layer_norm(x, [length], weight, bias, 1e-5)
    for wanted in subsets(3):
        mask = [wanted[0], wanted[1] and subset[0], wanted[2] and subset[1]]
        same(aten.native_layer_norm_backward, grad, x, [length], mean, rstd, weight, bias, mask)


@pytest.mark.parametrize("length", [3, 300, 9000])
@pytest.mark.parametrize("has_weight", [False, True])
def test_rms_norm(has_weight: bool, length: int) -> None:
    x, grad = random_tensor(5, length), random_tensor(5, length)
    weight = given(has_weight, random_tensor(length))
    for x_wants, weight_wants in subsets(2):
        results = []
        for device in ("cpu", DEVICE):
            a = x.detach().to(device).requires_grad_(x_wants)
            w = None if weight is None else weight.detach().to(device).requires_grad_(weight_wants)
            out = F.rms_norm(a, (length,), w, 1e-5)
            if out.requires_grad:
                out.backward(grad.to(device))
            results.append([out, a.grad, None if w is None else w.grad])
        for e, g in zip(*results, strict=True):
            assert (g is None) == (e is None)
            if g is not None:
                assert_matches(g, e, 2e-5)


@pytest.mark.parametrize("subset", subsets(2), ids=name_of)
def test_group_norm(subset: Subset) -> None:
    x, grad = random_tensor(3, 6, 7), random_tensor(3, 6, 7)
    weight, bias = given(subset[0], random_tensor(6)), given(subset[1], random_tensor(6))
    geometry = (3, 6, 7, 2, 1e-5)
    # The CPU's own cannot do with a bias alone.
    oracle = (x, torch.ones(6) if bias is not None and weight is None else weight, bias, *geometry)
    same(aten.native_group_norm, x, weight, bias, *geometry, cpu=oracle)
    _, mean, rstd = aten.native_group_norm(*oracle)
    for wanted in subsets(3):
        mask = [wanted[0], wanted[1] and subset[0], wanted[2] and subset[1]]
        ends = (3, 6, 7, 2, mask)
        same(
            aten.native_group_norm_backward, grad, x, mean, rstd, weight, *ends,
            cpu=(grad, x, mean, rstd, oracle[1], *ends),
        )  # fmt: skip


@pytest.mark.parametrize("reduction", [0, 1, 2])
@pytest.mark.parametrize("has_weight", [False, True])
def test_nll_loss(has_weight: bool, reduction: int) -> None:
    for shape in ((7, 5), (2, 5, 3, 4)):
        x, weight = random_tensor(*shape), given(has_weight, random_tensor(5, low=0.1))
        target = torch.randint(0, 5, (shape[0], *shape[2:]))
        forward = aten.nll_loss_forward if len(shape) == 2 else aten.nll_loss2d_forward
        backward = aten.nll_loss_backward if len(shape) == 2 else aten.nll_loss2d_backward
        same(forward, x, target, weight, reduction, -100)
        out, total = forward(x, target, weight, reduction, -100)
        grad = random_tensor(*out.shape)
        same(backward, grad, x, target, weight, reduction, -100, total)


@pytest.mark.parametrize("has_bias", [False, True])
def test_convolution(has_bias: bool) -> None:
    x, weight, bias = random_tensor(2, 3, 6, 6), random_tensor(4, 3, 3, 3), random_tensor(4)
    geometry = ([1, 1], [1, 1], [1, 1], False, [0, 0], 1)
    same(lambda x, w, b: aten.convolution(x, w, b, *geometry), x, weight, given(has_bias, bias))
    grad = random_tensor(2, 4, 6, 6)
    for mask in subsets(3):
        sizes = [4] if has_bias else None
        wanted = [mask[0], mask[1], mask[2] and has_bias]

        def backward(*arguments: Any, wanted: list[bool] = wanted) -> list[Any]:
            # The CPU gives some that nobody wants.
            return [g if w else None for g, w in zip(aten.convolution_backward(*arguments), wanted, strict=True)]

        same(backward, grad, x, weight, sizes, *geometry, wanted)


@pytest.mark.parametrize("subset", subsets(5), ids=name_of)
def test_attention(subset: Subset) -> None:
    has_mask, is_causal, *wants = subset
    if has_mask and is_causal:
        return  # torch takes one of them
    q, k, v = (random_tensor(1, 2, 9, 8) for _ in range(3))
    bias = given(has_mask, random_tensor(9, 9))

    def run(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor, bias: Any) -> list[Any]:
        inputs = [t.detach().requires_grad_(w) for t, w in zip((q, k, v), wants, strict=True)]
        out = F.scaled_dot_product_attention(*inputs, attn_mask=bias, is_causal=is_causal)
        if not any(wants):
            return [out]
        return [out, *torch.autograd.grad(out.square().sum(), [t for t in inputs if t.requires_grad])]

    same(run, q, k, v, bias, bound=1e-4)


@pytest.mark.parametrize("subset", subsets(3), ids=name_of)
@pytest.mark.parametrize("kind", ["adam", "adamw"])
def test_fused_adam(kind: str, subset: Subset) -> None:
    amsgrad, has_scale, has_found = subset
    step = getattr(aten, f"_fused_{kind}_")

    def run(p: Any, g: Any, m: Any, v: Any, most: Any, scale: Any, found: Any) -> list[torch.Tensor]:
        p, g, m, v = (t.clone() for t in (p, g, m, v))
        most = [most.clone()] if amsgrad else []
        count = torch.ones((), device=p.device)
        step(
            [p], [g], [m], [v], most, [count], lr=0.1, beta1=0.9, beta2=0.99, weight_decay=0.1, eps=1e-8,
            amsgrad=amsgrad, maximize=False, grad_scale=scale, found_inf=found,
        )  # fmt: skip
        return [p, m, v, *most]

    p, g, m, v, most = (random_tensor(70, low=0.1) for _ in range(5))
    for found in (0.0, 1.0) if has_found else (0.0,):
        same(run, p, g, m, v, most, given(has_scale, torch.tensor(4.0)), given(has_found, torch.tensor(found)))


@pytest.mark.parametrize("subset", subsets(5), ids=name_of)
def test_fused_sgd(subset: Subset) -> None:
    has_momentum, nesterov, is_first, has_scale, has_found = subset
    if not has_momentum and (nesterov or is_first):
        return

    def run(p: Any, g: Any, buffer: Any, scale: Any, found: Any) -> list[torch.Tensor]:
        p, g, buffer = p.clone(), g.clone(), buffer.clone()
        aten._fused_sgd_(
            [p], [g], [buffer] if has_momentum else [], weight_decay=0.1, momentum=0.9 if has_momentum else 0.0, lr=0.1,
            dampening=0.0, nesterov=nesterov, maximize=False, is_first_step=is_first, grad_scale=scale, found_inf=found,
        )  # fmt: skip
        return [p, *([buffer] if has_momentum else [])]

    p, g, buffer = (random_tensor(70) for _ in range(3))
    same(run, p, g, buffer, given(has_scale, torch.tensor(4.0)), given(has_found, torch.tensor(0.0)))


@pytest.mark.parametrize("subset", subsets(2), ids=name_of)
def test_fused_adagrad(subset: Subset) -> None:
    def run(p: Any, g: Any, total: Any, scale: Any, found: Any) -> list[torch.Tensor]:
        p, g, total = p.clone(), g.clone(), total.clone()
        aten._fused_adagrad_(
            [p], [g], [total], [torch.ones((), device=p.device)], lr=0.1, lr_decay=0.01, weight_decay=0.1, eps=1e-8,
            maximize=False, grad_scale=scale, found_inf=found,
        )  # fmt: skip
        return [p, total]

    p, g, total = (random_tensor(70, low=0.1) for _ in range(3))
    same(run, p, g, total, given(subset[0], torch.tensor(4.0)), given(subset[1], torch.tensor(0.0)))


@pytest.mark.parametrize("subset", subsets(2), ids=name_of)
def test_clamp_and_losses(subset: Subset) -> None:
    x, low, high = random_tensor(40), random_tensor(40), random_tensor(40)
    if any(subset):
        same(lambda x, a, b: torch.clamp(x, a, b), x, given(subset[0], low), given(subset[1], high))
        same(lambda x: torch.clamp(x, -1.0 if subset[0] else None, 1.0 if subset[1] else None), x)
    target, weight, positive = torch.rand(4, 10), random_tensor(4, 10), random_tensor(10, low=0.1)
    same(
        lambda x, t, w, p: F.binary_cross_entropy_with_logits(x, t, w, pos_weight=p),
        x.view(4, 10), target, given(subset[0], weight), given(subset[1], positive),
    )  # fmt: skip
    same(lambda x, t, w: F.binary_cross_entropy(x, t, w), torch.rand(4, 10), target, given(subset[0], weight))
    classes = torch.randint(0, 10, (4,))
    smoothing = 0.1 if subset[1] else 0.0
    same(
        lambda x, t, w: F.cross_entropy(x, t, w, label_smoothing=smoothing),
        x.view(4, 10), classes, given(subset[0], positive),
    )  # fmt: skip
    same(lambda x, w, b: F.linear(x, w, b), x.view(4, 10), random_tensor(3, 10), given(subset[0], random_tensor(3)))
    same(lambda x, w: torch.bincount(x, w), torch.randint(0, 6, (40,)), given(subset[0], x.double()))
    same(
        lambda x, i, j: x[i, j] if j is not None else x[:, i],
        x.view(4, 10),
        classes[:2] % 4,
        given(subset[0], classes[:2]),
    )


# ---- the launch shapes themselves


def operands_of(launches: tuple[Launch, ...]) -> Iterator[int]:
    for launch in launches:
        for argument in launch.arguments.values():
            if isinstance(argument, Tensor):
                yield argument.index


#: Kernels with optional tensors: dtypes with every one of them, the places that may be "none", sizes.
SHAPES: dict[str, tuple[tuple[str, ...], tuple[int, ...], tuple[int, ...]]] = {
    "layer_norm_forward": (("fp32",) * 6, (4, 5), (3, 8, 8)),
    "layer_norm_backward": (("fp32",) * 8, (0, 1, 2, 7), (3, 8, 8, 8)),
    "rms_norm_forward": (("fp32",) * 4, (3,), (3, 8, 8)),
    "rms_norm_backward": (("fp32",) * 6, (0, 1, 5), (3, 8, 8, 8)),
    "group_norm_forward": (("fp32",) * 6, (4, 5), (2, 4, 8, 2)),
    "group_norm_backward": (("fp32",) * 8, (0, 1, 2, 7), (2, 4, 8, 2)),
    "nll_loss_forward": (("fp32", "fp32", "fp32", "i64", "fp32"), (4,), (3, 8, 8, 1, 1)),
    "nll_loss_backward": (("fp32", "fp32", "i64", "fp32", "fp32"), (3,), (3, 8, 0, 1)),
}


@pytest.mark.parametrize("kernel", SHAPES)
def test_no_launch_shape_uses_an_operand_that_is_absent(kernel: str) -> None:
    dtypes, optional, sizes = SHAPES[kernel]
    limits = launch_shape.ChipLimits(256 * 1024, 64)
    for subset in subsets(len(optional)):
        absent = {place for place, chosen in zip(optional, subset, strict=True) if not chosen}
        names = tuple("none" if i in absent else dtype for i, dtype in enumerate(dtypes))
        used = set(operands_of(launch_shape.plan(kernel, names, sizes, limits)))
        assert not used & absent, f"{kernel} uses the absent operands {used & absent}"
        assert used, kernel


def test_an_absent_operand_that_is_used_is_refused_by_name() -> None:
    bridge = LaunchBridge(_C)
    with pytest.raises(
        TypeError, match=r"embedding_forward .* operand 'weight' \(tensor 1\), which the operator was not"
    ):
        bridge.plan("embedding_forward", ("fp32", "none", "i64"), (3, 8, 8, 4), 0)
