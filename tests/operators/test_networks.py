"""Softmax, norms, attention, cross entropy, dropout, optimisers and random numbers."""

import math

import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches, compare, random_tensor


@pytest.mark.parametrize("function", [torch.softmax, torch.log_softmax])
@pytest.mark.parametrize("dim", [0, 1, 2])
def test_softmax(function, dim: int) -> None:  # type: ignore[no-untyped-def]
    compare(function, random_tensor(3, 70, 5), dim, gradients=True)
    compare(lambda t: function(t.transpose(0, 1), dim), random_tensor(3, 70, 5))
    compare(lambda t: function(t, -1, dtype=torch.float32), random_tensor(4, 9, dtype=torch.bfloat16), bound=1e-2)


def test_softmax_of_masked_rows() -> None:
    x = torch.full((2, 5), -math.inf)
    x[0, 2] = 1.0
    compare(torch.softmax, x, 1)


@pytest.mark.parametrize("shape", [(4, 64), (2, 3, 33), (1, 7), (300, 8)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norms(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = random_tensor(*shape, dtype=dtype)
    weight, bias = random_tensor(shape[-1], dtype=dtype), random_tensor(shape[-1], dtype=dtype)
    bound = 2e-5 if dtype == torch.float32 else 2e-2
    compare(lambda t, w: F.rms_norm(t, (shape[-1],), w, 1e-6), x, weight, gradients=True, bound=bound)
    compare(lambda t: F.rms_norm(t, (shape[-1],)), x, gradients=True, bound=bound)
    if shape[-1] > 1:
        compare(lambda t, w, b: F.layer_norm(t, (shape[-1],), w, b), x, weight, bias, gradients=True, bound=bound)


def test_norm_of_a_transposed_tensor() -> None:
    compare(lambda t: F.layer_norm(t.transpose(0, 1), (6, 5)[1:]), random_tensor(6, 7, 5), bound=2e-5)
    compare(lambda t, w: F.rms_norm(t.transpose(0, 1), (5,), w), random_tensor(6, 7, 5), random_tensor(5), bound=2e-5)


@pytest.mark.parametrize("shape", [(2, 6), (3, 4, 33), (2, 8, 5, 7), (1, 4, 3, 2, 9)])
@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_group_norm(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    x = random_tensor(*shape, dtype=dtype)
    weight, bias = random_tensor(shape[1], dtype=dtype), random_tensor(shape[1], dtype=dtype)
    bound = 2e-5 if dtype == torch.float32 else 2e-2
    compare(lambda t, w, b: F.group_norm(t, 2, w, b), x, weight, bias, gradients=True, bound=bound)
    compare(lambda t: F.group_norm(t, 1, eps=1e-3), x, gradients=True, bound=bound)
    if len(shape) == 4:
        channels_last = x.contiguous(memory_format=torch.channels_last)
        compare(lambda t, w, b: F.group_norm(t, 4, w, b), channels_last, weight, bias, gradients=True, bound=bound)


def test_group_norm_of_nothing_and_of_what_does_not_divide() -> None:
    weight = torch.ones(4, device=DEVICE, requires_grad=True)
    for shape in ((0, 4, 5), (3, 4, 0)):
        out, mean, rstd = torch.native_group_norm(
            torch.empty(shape, device=DEVICE), weight, None, shape[0], 4, shape[2], 2, 1e-5
        )
        assert out.shape == shape and mean.shape == rstd.shape == (shape[0], 2)
        (gradient,) = torch.autograd.grad(out.sum(), weight, retain_graph=True)
        assert torch.equal(gradient.cpu(), torch.zeros(4))
    with pytest.raises(RuntimeError, match="divisible by num_groups"):
        F.group_norm(torch.ones(2, 4, 3, device=DEVICE), 3)


ATTENTION = [
    {"heads": 2, "kv": 2, "q": 16, "k": 16, "d": 16, "causal": True},
    {"heads": 4, "kv": 2, "q": 33, "k": 33, "d": 24, "causal": True},
    {"heads": 2, "kv": 1, "q": 1, "k": 50, "d": 64, "causal": False},
    {"heads": 2, "kv": 2, "q": 40, "k": 70, "d": 32, "causal": False},
]


@pytest.mark.parametrize("case", ATTENTION)
@pytest.mark.parametrize("masked", [False, True])
def test_attention(case: dict[str, int], masked: bool) -> None:
    if masked and case["causal"]:
        pytest.skip("torch takes a mask or is_causal, not both")
    q = random_tensor(2, case["q"], case["heads"], case["d"])
    k, v = (random_tensor(2, case["k"], case["kv"], case["d"]) for _ in range(2))
    mask = random_tensor(2, 1, case["q"], case["k"], dtype=torch.bool) if masked else None
    if mask is not None:
        mask[..., 0] = True

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        return F.scaled_dot_product_attention(
            q.transpose(1, 2), k.transpose(1, 2), v.transpose(1, 2), is_causal=bool(case["causal"]),
            attn_mask=None if mask is None else mask.to(q.device), enable_gqa=case["heads"] != case["kv"],
        )  # fmt: skip

    compare(attend, q, k, v, gradients=True, bound=1e-4)
    compare(attend, q.bfloat16(), k.bfloat16(), v.bfloat16(), bound=2e-2)


@pytest.mark.parametrize("scale", [0.0, -0.3, 1.7])
@pytest.mark.parametrize("causal", [False, True])
def test_attention_with_any_scale(scale: float, causal: bool) -> None:
    """The kernel finds the largest score as the largest product, which a scale of 0 or below would forbid."""
    q, k, v = (random_tensor(1, 2, 150, 32) for _ in range(3))
    later = torch.ones(150, 150, dtype=torch.bool).triu(1)

    def attend(q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> torch.Tensor:
        if q.device.type == DEVICE or scale > 0 or not causal:
            return F.scaled_dot_product_attention(2 * q, k, v, is_causal=causal, scale=scale)
        # CPU torch scales its mask too, and gives NaN; the formula does not.
        assert F.scaled_dot_product_attention(2 * q, k, v, is_causal=True, scale=scale).isnan().any()
        return (scale * (2 * q) @ k.transpose(-2, -1)).masked_fill(later, float("-inf")).softmax(-1) @ v

    compare(attend, q, k, v, gradients=True, bound=1e-4)


def test_attention_uses_no_memory_for_scores() -> None:
    q = torch.randn(1, 1, 1024, 16, device=DEVICE)
    torch.mtia_sim.synchronize()
    torch.mtia_sim.reset_peak_memory_stats()
    before = torch.mtia_sim.memory_allocated()
    F.scaled_dot_product_attention(q, q, q, is_causal=True)
    assert torch.mtia_sim.max_memory_allocated() - before < 1024 * 1024 * 4 / 8


@pytest.mark.parametrize("reduction", ["mean", "sum", "none"])
@pytest.mark.parametrize("smoothing", [0.0, 0.1])
def test_cross_entropy(reduction: str, smoothing: float) -> None:
    x, target = random_tensor(37, 50), torch.randint(0, 50, (37,))
    target[3] = target[20] = -100
    weight = random_tensor(50, low=0.5, high=2.0)
    compare(
        lambda t, y: F.cross_entropy(t, y, reduction=reduction, label_smoothing=smoothing), x, target, gradients=True
    )
    compare(
        lambda t, y, w: F.cross_entropy(t, y, w, reduction=reduction, label_smoothing=smoothing, ignore_index=7),
        x, target.clamp_min(0), weight,
    )  # fmt: skip


def test_cross_entropy_of_images() -> None:
    compare(F.cross_entropy, random_tensor(2, 5, 3, 4), torch.randint(0, 5, (2, 3, 4)), gradients=True)


def test_dropout() -> None:
    x = torch.ones(100, 77, device=DEVICE, requires_grad=True)
    y = F.dropout(x, 0.3)
    kept = (y != 0).float()
    assert abs(float(kept.mean()) - 0.7) < 0.03
    assert_matches(y, kept.cpu() / 0.7)
    y.sum().backward()
    assert_matches(x.grad, kept.cpu() / 0.7)
    torch.manual_seed(3)
    first = F.dropout(x, 0.5)
    torch.manual_seed(3)
    assert torch.equal(first, F.dropout(x, 0.5))
    assert not torch.equal(first, F.dropout(x, 0.5))


def test_random_distributions() -> None:
    n = 40000
    torch.manual_seed(5)
    normal = torch.randn(n, device=DEVICE).cpu().double()
    assert abs(float(normal.mean())) < 0.03 and abs(float(normal.std()) - 1) < 0.03
    uniform = torch.rand(n, device=DEVICE).cpu()
    assert float(uniform.min()) >= 0 and float(uniform.max()) < 1 and abs(float(uniform.mean()) - 0.5) < 0.02
    integers = torch.randint(-3, 9, (n,), device=DEVICE).cpu()
    assert set(integers.tolist()) == set(range(-3, 9))
    assert abs(float(torch.empty(n, device=DEVICE).exponential_(2.0).mean()) - 0.5) < 0.02
    assert abs(float(torch.bernoulli(torch.full((n,), 0.2, device=DEVICE)).mean()) - 0.2) < 0.02
    assert torch.equal(torch.randperm(500, device=DEVICE).cpu().sort()[0], torch.arange(500))
    torch.manual_seed(5)
    assert torch.equal(normal, torch.randn(n, device=DEVICE).cpu().double())
    strided = torch.zeros(10, 10, device=DEVICE)[:, ::2].normal_()
    assert bool((strided != 0).all())


def test_multinomial() -> None:
    p = torch.tensor([[0.0, 1.0, 3.0], [2.0, 0.0, 0.0]], device=DEVICE)
    drawn = torch.multinomial(p, 4000, replacement=True).cpu()
    counts = torch.bincount(drawn[0], minlength=3)
    assert counts[0] == 0 and abs(float(counts[2]) / 4000 - 0.75) < 0.05
    assert bool((drawn[1] == 0).all())
    assert sorted(torch.multinomial(torch.ones(6, device=DEVICE), 6).cpu().tolist()) == list(range(6))
    with pytest.raises(RuntimeError, match="probability"):
        torch.multinomial(torch.tensor([-1.0, 2.0], device=DEVICE), 1)


OPTIMISERS = [
    (torch.optim.SGD, {"lr": 0.1, "momentum": 0.9, "weight_decay": 0.01}),
    (torch.optim.SGD, {"lr": 0.1, "nesterov": True, "momentum": 0.9, "fused": True}),
    (torch.optim.Adam, {"lr": 0.01, "foreach": False}),
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1}),
    (torch.optim.AdamW, {"lr": 0.01, "weight_decay": 0.1, "fused": True}),
    (torch.optim.Adam, {"lr": 0.01, "amsgrad": True, "fused": True}),
    (torch.optim.Adagrad, {"lr": 0.1, "lr_decay": 0.1, "foreach": False}),
]


@pytest.mark.parametrize(("optimiser", "options"), OPTIMISERS)
def test_optimisers(optimiser: type[torch.optim.Optimizer], options: dict[str, object]) -> None:
    start = [random_tensor(5, 7), random_tensor(33)]
    gradients = [[random_tensor(*p.shape) for p in start] for _ in range(4)]

    def train(device: str, dtype: torch.dtype) -> list[torch.Tensor]:
        parameters = [p.to(dtype).to(device).requires_grad_() for p in start]
        chosen = optimiser(parameters, **options)
        for step in gradients:
            for parameter, gradient in zip(parameters, step, strict=True):
                parameter.grad = gradient.to(dtype).to(device)
            torch.nn.utils.clip_grad_norm_(parameters, 1.0)
            chosen.step()
        return [p.detach() for p in parameters]

    for got, expected in zip(train(DEVICE, torch.float32), train("cpu", torch.float64), strict=True):
        assert_matches(got, expected, 2e-5)


def test_fused_adagrad() -> None:
    state = [random_tensor(40), random_tensor(40), random_tensor(40, low=0.1), torch.tensor(3.0)]
    options = {"lr": 0.1, "lr_decay": 0.2, "weight_decay": 0.01, "eps": 1e-10, "maximize": False}
    moved = [tensor.to(DEVICE) for tensor in state]
    torch._fused_adagrad_(*([tensor] for tensor in moved), **options)
    torch._fused_adagrad_(*([tensor] for tensor in state), **options)
    assert_matches(moved[0], state[0])
    assert_matches(moved[2], state[2])


def test_gradient_scaler() -> None:
    weight = random_tensor(8, 8).to(DEVICE).requires_grad_()
    optimiser = torch.optim.SGD([weight], lr=0.1)
    scaler = torch.amp.GradScaler(DEVICE, init_scale=1024.0)
    before = weight.detach().cpu()
    scaler.scale((weight * 2).sum()).backward()
    scaler.step(optimiser)
    scaler.update()
    assert_matches(weight, before - 0.2)
    optimiser.zero_grad()
    scaler.scale((weight * math.inf).sum()).backward()
    unchanged = weight.detach().cpu()
    scaler.step(optimiser)
    scaler.update()
    assert torch.equal(weight.detach().cpu(), unchanged) and scaler.get_scale() == 512.0
