"""Every operator that real clients send to the device, counted in a census of them, has a kernel."""

import pytest
import torch
import torch.nn.functional as F

from tests.operators.comparison import DEVICE, assert_matches

TRAINING = [
    "_copy_from",
    "_copy_from_and_resize",
    "_fused_adamw_",
    "_index_put_impl_",
    "_local_scalar_dense",
    "_log_softmax.out",
    "_log_softmax_backward_data.out",
    "_reshape_alias",
    "_softmax.out",
    "_softmax_backward_data.out",
    "abs.out",
    "add.out",
    "addcdiv.out",
    "addcmul.out",
    "all.all_out",
    "all.out",
    "any.all_out",
    "arange.start_out",
    "as_strided",
    "bitwise_and.Tensor_out",
    "bitwise_or.Tensor_out",
    "bmm.out",
    "cat.out",
    "clamp.out",
    "cos.out",
    "cumsum.out",
    "div.out",
    "embedding_dense_backward",
    "empty.memory_format",
    "empty_strided",
    "eq.Scalar_out",
    "fill_.Scalar",
    "gt.Scalar_out",
    "index.Tensor_out",
    "index_select",
    "isnan",
    "isneginf.out",
    "le.Tensor_out",
    "lerp.Scalar_out",
    "linalg_vector_norm.out",
    "lt.Scalar_out",
    "mean.out",
    "mm.out",
    "mul.out",
    "native_dropout",
    "native_dropout_backward",
    "ne.Scalar_out",
    "neg.out",
    "nll_loss_backward.grad_input",
    "nll_loss_forward.output",
    "normal_",
    "pow.Scalar_out",
    "pow.Tensor_Scalar_out",
    "reciprocal.out",
    "resize_",
    "rsqrt.out",
    "sigmoid.out",
    "silu.out",
    "sin.out",
    "sqrt.out",
    "sub.out",
    "sum.IntList_out",
    "tril.out",
    "triu.out",
    "unfold",
    "uniform_",
    "view",
    "view_as_complex",
    "view_as_real",
    "where.self",
    "where.self_out",
    "zero_",
    "_fused_rms_norm",
    "_fused_rms_norm_backward",
    "native_layer_norm",
    "native_layer_norm_backward",
    "_scaled_dot_product_fused_attention_overrideable",
    "_scaled_dot_product_fused_attention_overrideable_backward",
]

GENERATION = [
    "any.out",
    "argmax.out",
    "bitwise_not.out",
    "floor_divide",
    "gather.out",
    "gt.Tensor_out",
    "index_copy.out",
    "isin.Tensor_Tensor_out",
    "le.Scalar_out",
    "lt.Tensor_out",
    "masked_fill_.Scalar",
    "max",
    "min.dim_min",
    "multinomial",
    "remainder.Tensor_out",
    "scatter.src_out",
    "sort.values_stable",
    "topk.values",
]

RECOMMENDATION = [
    "_fused_adagrad_",
    "addmm.out",
    "binary_cross_entropy",
    "binary_cross_entropy_backward",
    "log_sigmoid_forward",
    "relu",
    "sigmoid_backward.grad_input",
    "threshold_backward.grad_input",
    "tril_indices",
]

CHECKPOINTS = [
    "ceil.out",
    "eq.Tensor_out",
    "masked_select",
    "min",
    "ne.Tensor_out",
    "set_.source_Storage",
    "set_.source_Storage_storage_offset",
]


@pytest.mark.parametrize("name", [*TRAINING, *GENERATION, *RECOMMENDATION, *CHECKPOINTS])
def test_has_a_kernel(name: str) -> None:
    torch.empty(1, device=DEVICE)
    assert torch._C._dispatch_has_kernel_for_dispatch_key(f"aten::{name}", "PrivateUse1"), f"aten::{name} has no kernel"


def block(x: torch.Tensor, p: dict[str, torch.Tensor], cosine: torch.Tensor, sine: torch.Tensor) -> torch.Tensor:
    """One Llama block: RMSNorm, RoPE, grouped-query attention, SwiGLU."""
    batch, length, width = x.shape

    def rope(t: torch.Tensor) -> torch.Tensor:
        half = t.shape[-1] // 2
        return t * cosine + torch.cat((-t[..., half:], t[..., :half]), -1) * sine

    h = F.rms_norm(x, (width,), p["norm1"], 1e-5)
    q, k, v = ((h @ p[name].t()).view(batch, length, -1, 8).transpose(1, 2) for name in ("q", "k", "v"))
    attended = F.scaled_dot_product_attention(rope(q), rope(k), v, is_causal=True, enable_gqa=True)
    x = x + attended.transpose(1, 2).reshape(batch, length, -1) @ p["o"].t()
    h = F.rms_norm(x, (width,), p["norm2"], 1e-5)
    return x + (F.silu(h @ p["gate"].t()) * (h @ p["up"].t())) @ p["down"].t()


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_one_training_step_of_a_llama(dtype: torch.dtype) -> None:
    shapes = {"norm1": (32,), "q": (32, 32), "k": (16, 32), "v": (16, 32), "o": (32, 32)}
    shapes |= {"norm2": (32,), "gate": (48, 32), "up": (48, 32), "down": (32, 48), "embed": (50, 32)}
    start = {name: torch.randn(shape) * 0.3 for name, shape in shapes.items()}
    tokens = torch.randint(0, 50, (2, 18))
    angle = torch.arange(17.0)[:, None] * torch.tensor([1.0, 0.1, 0.01, 0.001]).repeat(2)[None]

    def step(device: str, kind: torch.dtype) -> tuple[torch.Tensor, dict[str, torch.Tensor]]:
        p = {name: tensor.to(device, kind).requires_grad_() for name, tensor in start.items()}
        y = tokens.to(device)
        x = F.embedding(y[:, :-1], p["embed"])
        x = block(x, p, angle.cos().to(device, kind), angle.sin().to(device, kind))
        loss = F.cross_entropy(
            (x @ p["embed"].t()).flatten(0, 1).float() if kind != torch.float64 else (x @ p["embed"].t()).flatten(0, 1),
            y[:, 1:].flatten(),
        )
        loss.backward()
        return loss.detach(), {name: tensor.grad for name, tensor in p.items() if tensor.grad is not None}

    loss, gradients = step(DEVICE, dtype)
    expected_loss, expected = step("cpu", torch.float64)
    bound = 1e-4 if dtype == torch.float32 else 0.05
    assert_matches(loss, expected_loss, bound)
    assert gradients.keys() == expected.keys()
    for name, gradient in gradients.items():
        assert_matches(gradient, expected[name], bound)
    assert torch.mtia_sim.fallbacks() == {}
