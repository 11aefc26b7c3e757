"""What one step of any optimiser on one parameter has in common: its gradient, when it is left out, and its launch."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    block_limit,
    ceil_div,
    compute_dtype,
    programs_for,
    tensor_arguments,
)


@triton.jit
def learning_rate_of(rate_tensor, rate, COMPUTE: tl.constexpr):
    if rate_tensor is not None:
        return tl.load(rate_tensor).to(COMPUTE)
    else:
        return tl.full([], rate, COMPUTE)


@triton.jit
def tiles_to_step(found_inf, tiles):
    """`tiles`, or 0 after a gradient that is not finite: the scaler asks that nothing changes."""
    last = tiles
    if found_inf is not None:
        last = tl.where(tl.load(found_inf) != 0, 0, tiles)
    return last


@triton.jit
def gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr):
    """The gradient to descend along; divided by the scaler's scale, in memory too, where there is one."""
    grad = tl.load(gradient + offsets, mask=mask).to(COMPUTE)
    if grad_scale is not None:
        grad = grad / tl.load(grad_scale).to(COMPUTE)
        tl.store(gradient + offsets, grad.to(gradient.dtype.element_ty), mask=mask)
    if MAXIMIZE:
        grad = -grad
    return grad


def optimizer_launch(
    kernel: Any,
    tensors: Sequence[str],
    scalars: Sequence[str],
    dtypes: tuple[str, ...],
    dense: int,
    elements: int,
    chip: ChipLimits,
    constexprs: Mapping[str, Any],
) -> Launch:
    """Launches `kernel` over tiles of `elements`; the first `dense` of its `tensors` have that many, the others one.

    `dtypes` are the tensors' ("none" where absent). Scalars and arithmetic are in the parameter's compute dtype.
    """
    compute = compute_dtype(dtypes[0])
    wide = DTYPE_BYTES[compute]
    # Each operand twice (double buffers), its value where that is wider, and two temporaries.
    moved = [dtype for dtype in dtypes[:dense] if dtype != "none"]
    block_bytes = sum(2 * DTYPE_BYTES[dtype] + (wide if dtype != compute else 0) for dtype in moved) + 2 * wide
    block = block_limit(chip, block_bytes, 8192)
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = tensor_arguments(tensors, dtypes)
    arguments |= {name: Scalar(i, compute) for i, name in enumerate(scalars)}
    arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
    constexprs = {**constexprs, "COMPUTE": TRITON_DTYPES[compute], "BLOCK": block}
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)
