"""One step of Adagrad (Duchi et al. 2011) on one parameter."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    DTYPE_BYTES,
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Scalar,
    Tensor,
    block_limit,
    ceil_div,
    compute_dtype,
    launch_shape,
    programs_for,
)


@triton.jit
def fused_adagrad(
    parameter, gradient, state_sum, step, grad_scale, found_inf, rate, rate_decay, decay, epsilon,
    elements, tiles, programs, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    steps = tl.load(step).to(COMPUTE)
    learning_rate = tl.full([], rate, COMPUTE) / (1.0 + (steps - 1.0) * tl.full([], rate_decay, COMPUTE))
    weight_decay = tl.full([], decay, COMPUTE)
    eps = tl.full([], epsilon, COMPUTE)
    last = tiles
    if found_inf is not None:
        last = tl.where(tl.load(found_inf) != 0, 0, tiles)
    lane = tl.arange(0, BLOCK)
    for tile in tl.range(tl.program_id(0), last, programs, num_stages=2):
        start = tile * tl.full([], BLOCK, tl.int64)
        mask = lane < tl.minimum(elements - start, BLOCK).to(tl.int32)
        offsets = start + lane
        value = tl.load(parameter + offsets, mask=mask).to(COMPUTE)
        raw = tl.load(gradient + offsets, mask=mask)
        grad = raw.to(COMPUTE)
        if grad_scale is not None:
            grad = grad / tl.load(grad_scale).to(COMPUTE)
            tl.store(gradient + offsets, grad.to(gradient.dtype.element_ty), mask=mask)
        if MAXIMIZE:
            grad = -grad
        grad = grad + value * weight_decay
        total = tl.load(state_sum + offsets, mask=mask).to(COMPUTE) + grad * grad
        tl.store(state_sum + offsets, total.to(state_sum.dtype.element_ty), mask=mask)
        value = value - learning_rate * (grad / (tl.sqrt(total) + eps))
        tl.store(parameter + offsets, value.to(parameter.dtype.element_ty), mask=mask)


@launch_shape("fused_adagrad")
def fused_adagrad_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (parameter, gradient, state sum, step, grad_scale or none, found_inf or none), scalars (learning rate,
    its decay, weight decay, eps).

    The first three are contiguous (or dense in the same layout), the others one element; step is already incremented.
    `sizes` = (elements, maximize). A found_inf that is not 0 leaves all as it is.
    """
    elements, maximize = sizes
    compute = compute_dtype(dtypes[0])
    block_bytes = sum(2 * DTYPE_BYTES[dtype] for dtype in dtypes[:3]) + 7 * DTYPE_BYTES[compute]
    block = block_limit(chip, block_bytes, 8192)
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {}
    names = ("parameter", "gradient", "state_sum", "step", "grad_scale", "found_inf")
    for i, name in enumerate(names):
        arguments[name] = Tensor(i) if dtypes[i] != "none" else None
    for i, name in enumerate(("rate", "rate_decay", "decay", "epsilon")):
        arguments[name] = Scalar(i, compute)
    arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
    constexprs = {"MAXIMIZE": bool(maximize), "COMPUTE": TRITON_DTYPES[compute], "BLOCK": block}
    return Launch(fused_adagrad, (programs, 1, 1), arguments, constexprs)
