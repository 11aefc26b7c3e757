"""Float64 references of the device's own operators, which have no kernel on the CPU."""

from collections.abc import Callable
from typing import Any

import torch


def _weights(
    query: torch.Tensor, key: torch.Tensor, bias: torch.Tensor | None, is_causal: bool, scale: float
) -> tuple[torch.Tensor, torch.Tensor]:
    """softmax(query key^T scale + mask) and the rows' log-sum-exp, of [batch, heads, length, size]."""
    scores = query @ key.transpose(-1, -2) * scale
    if is_causal:
        allowed = torch.ones(scores.shape[-2:], dtype=torch.bool).tril()
        scores = scores.masked_fill(~allowed, float("-inf"))
    if bias is not None:
        scores = scores + bias
    return scores.softmax(-1), scores.logsumexp(-1)


def _repeated(query: torch.Tensor, shared: torch.Tensor) -> torch.Tensor:
    """Keys or values for each head of the queries."""
    return shared.repeat_interleave(query.shape[1] // shared.shape[1], 1)


def _scale(query: torch.Tensor, scale: float | None) -> float:
    return query.shape[-1] ** -0.5 if scale is None else scale


def attention_forward(
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: torch.Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[torch.Tensor, torch.Tensor]:
    """aten::_scaled_dot_product_fused_attention_overrideable."""
    if dropout_p:
        raise NotImplementedError("dropout does not repeat")
    weights, sums = _weights(query, _repeated(query, key), attn_bias, is_causal, _scale(query, scale))
    return weights @ _repeated(query, value), sums


def attention_backward(
    grad_out: torch.Tensor,
    query: torch.Tensor,
    key: torch.Tensor,
    value: torch.Tensor,
    attn_bias: torch.Tensor | None,
    grad_input_mask: list[bool],
    out: torch.Tensor,
    logsumexp: torch.Tensor,
    cum_seq_q: Any,
    cum_seq_k: Any,
    max_q: Any,
    max_k: Any,
    dropout_p: float,
    is_causal: bool,
    philox_seed: Any,
    philox_offset: Any,
    *,
    scale: float | None = None,
) -> list[torch.Tensor | None]:
    """aten::_scaled_dot_product_fused_attention_overrideable_backward."""
    if dropout_p:
        raise NotImplementedError("dropout does not repeat")
    factor = _scale(query, scale)
    keys, values = _repeated(query, key), _repeated(query, value)
    weights, _ = _weights(query, keys, attn_bias, is_causal, factor)
    gradient = grad_out @ values.transpose(-1, -2)
    scores = weights * (gradient - (gradient * weights).sum(-1, keepdim=True))
    shared = (key.shape[0], key.shape[1], -1, *key.shape[2:])
    gradients: list[torch.Tensor | None] = [
        scores @ keys * factor,
        (scores.transpose(-1, -2) @ query * factor).reshape(shared).sum(2),
        (weights.transpose(-1, -2) @ grad_out).reshape(*shared[:-1], value.shape[-1]).sum(2),
        None if attn_bias is None else scores,
    ]
    return [item if needed else None for item, needed in zip(gradients, grad_input_mask, strict=True)]


REFERENCES: dict[str, Callable[..., Any]] = {
    "_scaled_dot_product_fused_attention_overrideable": attention_forward,
    "_scaled_dot_product_fused_attention_overrideable_backward": attention_backward,
}
