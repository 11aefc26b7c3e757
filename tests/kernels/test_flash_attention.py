"""Flash attention, forward and backward, against attention written out in float64."""

import math

import pytest
import torch

from tests.kernels import harness


def reference(q, k, v, mask=None, causal=False, scale=None):
    """(out, logsumexp) in float64; a row that sees no key gives 0."""
    group = q.shape[1] // k.shape[1]
    k, v = k.repeat_interleave(group, 1), v.repeat_interleave(group, 1)
    scale = 1 / math.sqrt(q.shape[-1]) if scale is None else scale
    scores = q @ k.transpose(-1, -2) * scale
    if mask is not None:
        scores = scores.masked_fill(~mask, -float("inf")) if mask.dtype == torch.bool else scores + mask.double()
    if causal:
        scores = scores.masked_fill(~torch.ones(scores.shape[-2:], dtype=torch.bool).tril(), -float("inf"))
    logsumexp = scores.logsumexp(-1)
    weights = torch.exp(scores - torch.where(logsumexp == -float("inf"), 0.0, logsumexp)[..., None])
    return weights @ v, logsumexp


def strides_of(*tensors):
    return [stride for tensor in tensors for stride in (tensor.stride() if tensor is not None else (0, 0, 0, 0))]


def forward(q, k, v, mask=None, causal=False, chip="mtia300", dropout=0.0, seed=5):
    out = harness.poisoned((q.shape[0], q.shape[2], q.shape[1], v.shape[3]), q.dtype).transpose(1, 2)
    logsumexp = harness.poisoned(q.shape[:3], torch.float32)
    if mask is not None:
        mask = mask.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    tensors = [out, logsumexp, q, k, v, mask]
    sizes = [q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3], causal, dropout > 0]
    sizes += strides_of(q, k, v, out, mask)
    harness.execute("flash_attention_forward", tensors, sizes, [1 / math.sqrt(q.shape[-1]), dropout, seed, 7], chip)
    return out, logsumexp


def random_inputs(batch, heads, kv_heads, q_length, kv_length, head_size, dtype=torch.float32, value_size=None):
    value_size = head_size if value_size is None else value_size
    # As transformers has them: views of [batch, length, heads, head size].
    q = torch.randn(batch, q_length, heads, head_size).to(dtype).transpose(1, 2)
    k = torch.randn(batch, kv_length, kv_heads, head_size).to(dtype).transpose(1, 2)
    v = torch.randn(batch, kv_length, kv_heads, value_size).to(dtype).transpose(1, 2)
    return q, k, v


def check_forward(q, k, v, mask=None, causal=False, chip="mtia300"):
    expected, expected_sums = reference(q.double(), k.double(), v.double(), mask, causal)
    on_device = [None if t is None else t.to(harness.DEVICE) for t in (q, k, v, mask)]
    out, logsumexp = forward(*on_device, causal=causal, chip=chip)
    bound = 4 * harness.BOUNDS[q.dtype]
    harness.assert_close(out, expected, bound)
    seen = torch.isfinite(expected_sums)
    harness.assert_close(logsumexp.cpu()[seen], expected_sums[seen], bound)
    return out, logsumexp


SHAPES = [
    (1, 1, 1, 1, 1, 16),
    (2, 4, 2, 33, 33, 64),
    (1, 2, 1, 130, 130, 32),
    (1, 2, 2, 1, 77, 64),
    (1, 1, 1, 70, 20, 80),
    (1, 1, 1, 20, 40, 256),
    (1, 3, 3, 17, 50, 96),
]


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_forward(shape, dtype, causal):
    check_forward(*random_inputs(*shape, dtype), causal=causal)


@pytest.mark.parametrize("chip", harness.CHIPS)
def test_forward_on_chips(chip):
    torch.manual_seed(0)
    q, k, v = random_inputs(1, 2, 1, 150, 150, 64)
    out, _ = check_forward(q, k, v, causal=True, chip=chip)
    other, _ = forward(q.to(harness.DEVICE), k.to(harness.DEVICE), v.to(harness.DEVICE), causal=True, chip="mtia300")
    assert torch.equal(out.cpu(), other.cpu()), "a chip changes results"


MASKS = {
    "bool": lambda b, h, m, n: torch.rand(b, 1, m, n) < 0.7,
    "padding": lambda b, h, m, n: (torch.arange(n) < torch.tensor([n, n // 2])[:b, None])[:, None, None, :],
    "additive": lambda b, h, m, n: torch.randn(1, h, m, n),
    "half": lambda b, h, m, n: torch.randn(m, n).half()[None, None],
    "transposed": lambda b, h, m, n: torch.randn(b, h, n, m).transpose(-1, -2),
    "nothing_seen": lambda b, h, m, n: torch.arange(m)[:, None].expand(m, n)[None, None] % 3 != 0,
}


@pytest.mark.parametrize("mask", MASKS)
def test_forward_masks(mask):
    q, k, v = random_inputs(2, 2, 1, 40, 70, 32)
    check_forward(q, k, v, MASKS[mask](2, 2, 40, 70))


def test_forward_value_size():
    check_forward(*random_inputs(1, 2, 2, 40, 70, 64, value_size=32))


def test_forward_dropout():
    q, k, v = random_inputs(1, 2, 2, 64, 64, 32)
    v = torch.ones_like(v)
    q, k, v = (t.to(harness.DEVICE) for t in (q, k, v))
    out, _ = forward(q, k, v, dropout=0.25)
    again, _ = forward(q, k, v, dropout=0.25, chip="mtia1")
    other, _ = forward(q, k, v, dropout=0.25, seed=6)
    assert torch.equal(out.cpu(), again.cpu())
    assert not torch.equal(out.cpu(), other.cpu())
    assert abs(float(out.cpu().mean()) - 1.0) < 0.05
    assert float(out.cpu()[..., 0].std()) > 0.02


def backward(q, k, v, grad, out, logsumexp, mask=None, causal=False, chip="mtia300", dropout=0.0, seed=5):
    grads = [harness.poisoned(t.transpose(1, 2).shape, t.dtype).transpose(1, 2) for t in (q, k, v)]
    if mask is not None:
        mask = mask.expand(q.shape[0], q.shape[1], q.shape[2], k.shape[2])
    tensors = [*grads, grad, out, logsumexp, q, k, v, mask]
    sizes = [q.shape[0], q.shape[1], k.shape[1], q.shape[2], k.shape[2], q.shape[3], v.shape[3], causal, dropout > 0]
    sizes += strides_of(*grads, grad, out, q, k, v, mask)
    harness.execute("flash_attention_backward", tensors, sizes, [1 / math.sqrt(q.shape[-1]), dropout, seed, 7], chip)
    return grads


def check_backward(q, k, v, mask=None, causal=False, chip="mtia300"):
    wide = [t.double().requires_grad_() for t in (q, k, v)]
    expected, _ = reference(*wide, mask, causal)
    grad = torch.randn(expected.shape).to(q.dtype)
    expected_grads = torch.autograd.grad(expected, wide, grad.double())
    q, k, v, grad, mask = (None if t is None else t.to(harness.DEVICE) for t in (q, k, v, grad, mask))
    out, logsumexp = forward(q, k, v, mask, causal, chip)
    grads = backward(q, k, v, grad, out, logsumexp, mask, causal, chip)
    for got, want in zip(grads, expected_grads, strict=True):
        if want.norm() > 1e-9:
            harness.assert_close(got, want, 6 * harness.BOUNDS[q.dtype])
    return grads


@pytest.mark.parametrize("causal", [False, True])
@pytest.mark.parametrize("shape", SHAPES)
@pytest.mark.parametrize("dtype", harness.FLOAT_DTYPES)
def test_backward(shape, dtype, causal):
    check_backward(*random_inputs(*shape, dtype), causal=causal)


@pytest.mark.parametrize("chip", harness.CHIPS)
def test_backward_on_chips(chip):
    torch.manual_seed(0)
    inputs = random_inputs(1, 2, 1, 100, 100, 64)
    state = torch.get_rng_state()
    grads = check_backward(*inputs, causal=True, chip=chip)
    torch.set_rng_state(state)
    others = check_backward(*inputs, causal=True, chip="mtia300")
    assert all(torch.equal(got.cpu(), other.cpu()) for got, other in zip(grads, others, strict=True))


@pytest.mark.parametrize("mask", MASKS)
def test_backward_masks(mask):
    q, k, v = random_inputs(2, 2, 1, 40, 70, 32)
    check_backward(q, k, v, MASKS[mask](2, 2, 40, 70))


def test_backward_dropout():
    """The gradient of v shows the weights that the forward pass dropped; those of q and k follow finite differences."""
    torch.manual_seed(1)
    host = random_inputs(1, 1, 1, 20, 20, 16)
    grad = torch.randn(1, 1, 20, 16)
    q, k, v = (t.to(harness.DEVICE) for t in host)
    out, logsumexp = forward(q, k, v, dropout=0.3)
    grads = backward(q, k, v, grad.to(harness.DEVICE), out, logsumexp, dropout=0.3)
    for position, tensor in enumerate(host):
        direction = torch.randn(tensor.shape)
        step = 1e-2
        moved = []
        for sign in (1, -1):
            inputs = [q, k, v]
            inputs[position] = (tensor + sign * step * direction).to(harness.DEVICE)
            moved.append((forward(*inputs, dropout=0.3)[0].cpu() * grad).sum())
        slope = float(moved[0] - moved[1]) / (2 * step)
        assert slope == pytest.approx(float((grads[position].cpu() * direction).sum()), rel=2e-2, abs=2e-2)


@pytest.mark.parametrize("head_size", [32, 128])
def test_backward_with_mask_and_dropout_fits_the_smallest_chip(head_size):
    """Dropout's counters and a mask lie beside the weights: on every chip the blocks leave room, and give the same."""
    torch.manual_seed(2)
    host = random_inputs(1, 1, 1, 150, 150, head_size, torch.bfloat16)
    grad, mask = torch.randn(1, 1, 150, head_size).bfloat16(), torch.randn(150, 150).bfloat16()
    q, k, v, grad_out, bias = (t.to(harness.DEVICE) for t in (*host, grad, mask))
    results = []
    for chip in ("mtia1", "mtia300"):
        out, logsumexp = forward(q, k, v, bias, dropout=0.2, chip=chip)
        results.append(backward(q, k, v, grad_out, out, logsumexp, bias, dropout=0.2, chip=chip))
    assert all(torch.equal(one.cpu(), other.cpu()) for one, other in zip(*results, strict=True))
    # With the identity as values the result is the weights themselves: it shows which ones the seed drops.
    identity = torch.eye(150, dtype=torch.bfloat16)[None, None].to(harness.DEVICE)
    kept = forward(q, k, identity, bias, dropout=0.2)[0].cpu() != 0
    assert 0.77 < kept.double().mean() < 0.83
    wide = [tensor.double().requires_grad_() for tensor in host]
    weights = (wide[0] @ wide[1].mT / math.sqrt(head_size) + mask.double()).softmax(-1)
    expected = torch.autograd.grad((weights * kept / 0.8) @ wide[2], wide, grad.double())
    for got, want in zip(results[0], expected, strict=True):
        harness.assert_close(got, want, 6 * harness.BOUNDS[torch.bfloat16])
