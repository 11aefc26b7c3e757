"""torch.vmap of attention: the mapped dimension becomes a part of the batch, and one launch serves all mapped calls.

vmap's fallback takes no operator that returns numbers beside tensors, as attention does.
"""

from typing import Any

import torch
from torch import Tensor

_FORWARD = "aten::_scaled_dot_product_fused_attention_overrideable"
_BACKWARD = "aten::_scaled_dot_product_fused_attention_overrideable_backward"
_LOGSUMEXP = 1  # the forward's second output; the others that are batched are the first, and all gradients

_library = torch.library.Library("aten", "IMPL")


def register() -> None:
    """Gives attention's forward and backward their batching rules."""
    torch.library.register_vmap(_FORWARD, _forward, lib=_library)
    torch.library.register_vmap(_BACKWARD, _backward, lib=_library)


def _forward(
    info: Any,
    in_dims: tuple[int | None, ...],
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None = None,
    dropout_p: float = 0.0,
    is_causal: bool = False,
    return_debug_mask: bool = False,
    *,
    scale: float | None = None,
) -> tuple[Any, Any]:
    if dropout_p > 0 and info.randomness != "different":
        raise RuntimeError(
            f"vmap: scaled_dot_product_attention with dropout_p={dropout_p} draws other numbers in each mapped call,"
            f' but got randomness="{info.randomness}"; pass randomness="different" to vmap'
        )
    calls = info.batch_size
    dims = (*in_dims, *[None] * 4)[:4]
    folded = [_fold(tensor, dim, calls) for tensor, dim in zip((query, key, value), dims, strict=False)]
    mask = _fold_mask(attn_bias, dims[3], calls, folded[0].size(0) // calls)
    operator = torch.ops.aten._scaled_dot_product_fused_attention_overrideable.default
    results = operator(*folded, mask, dropout_p, is_causal, return_debug_mask, scale=scale)
    batched = [_unfold(tensor, calls) for tensor in results[: _LOGSUMEXP + 1]]
    rest = results[_LOGSUMEXP + 1 :]
    return (*batched, *rest), (0, 0, *[None] * len(rest))


def _backward(
    info: Any,
    in_dims: tuple[Any, ...],
    grad_out: Tensor,
    query: Tensor,
    key: Tensor,
    value: Tensor,
    attn_bias: Tensor | None,
    grad_input_mask: list[bool],
    out: Tensor,
    logsumexp: Tensor,
    *numbers: Any,
    scale: float | None = None,
) -> tuple[Any, Any]:
    calls = info.batch_size
    inputs = [_fold(each, dim, calls) for each, dim in zip((grad_out, query, key, value), in_dims, strict=False)]
    mask = _fold_mask(attn_bias, in_dims[4], calls, inputs[1].size(0) // calls)
    results = [_fold(each, dim, calls) for each, dim in zip((out, logsumexp), in_dims[6:8], strict=True)]
    operator = torch.ops.aten._scaled_dot_product_fused_attention_overrideable_backward.default
    gradients = operator(*inputs, mask, grad_input_mask, *results, *numbers, scale=scale)
    batched = tuple(None if each is None else _unfold(each, calls) for each in gradients)
    return batched, tuple(None if each is None else 0 for each in batched)


def _mapped_first(tensor: Tensor, dim: int | None, calls: int) -> Tensor:
    return tensor.expand(calls, *tensor.shape) if dim is None else tensor.movedim(dim, 0)


def _fold(tensor: Tensor, dim: int | None, calls: int) -> Tensor:
    """[batch, ...] of each mapped call as one [calls * batch, ...]."""
    return _mapped_first(tensor, dim, calls).flatten(0, 1)


def _fold_mask(mask: Tensor | None, dim: int | None, calls: int, batch: int) -> Tensor | None:
    """A mask broadcasts: it gets the batch that it was given as 1 or not at all. None stays None."""
    if mask is None:
        return None
    full = _mapped_first(mask, dim, calls)
    full = full[(slice(None), *[None] * (5 - full.dim()))]
    return full.expand(calls, batch, *full.shape[2:]).flatten(0, 1)


def _unfold(tensor: Tensor, calls: int) -> Tensor:
    return tensor.unflatten(0, (calls, -1))
