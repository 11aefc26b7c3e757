"""One step of stochastic gradient descent, with momentum or without, on one parameter."""

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
def fused_sgd(
    parameter, gradient, momentum_buffer, grad_scale, found_inf, rate_tensor,
    rate, decay, momentum, dampening, elements, tiles, programs,
    NESTEROV: tl.constexpr, MAXIMIZE: tl.constexpr, FIRST: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    if rate_tensor is not None:
        learning_rate = tl.load(rate_tensor).to(COMPUTE)
    else:
        learning_rate = tl.full([], rate, COMPUTE)
    weight_decay = tl.full([], decay, COMPUTE)
    keep = tl.full([], momentum, COMPUTE)
    take = 1.0 - tl.full([], dampening, COMPUTE)
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
        if momentum_buffer is not None:
            if FIRST:
                buffer = grad
            else:
                buffer = tl.load(momentum_buffer + offsets, mask=mask).to(COMPUTE) * keep + grad * take
            tl.store(momentum_buffer + offsets, buffer.to(momentum_buffer.dtype.element_ty), mask=mask)
            if NESTEROV:
                grad = grad + buffer * keep
            else:
                grad = buffer
        value = value - learning_rate * grad
        tl.store(parameter + offsets, value.to(parameter.dtype.element_ty), mask=mask)


@launch_shape("fused_sgd")
def fused_sgd_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (parameter, gradient, momentum buffer or none, grad_scale or none, found_inf or none, learning rate or
    none), scalars (learning rate, weight decay, momentum, dampening).

    The first three are contiguous (or dense in the same layout), the others one element. `sizes` = (elements, nesterov,
    maximize, whether this is the first step). A found_inf that is not 0 leaves all as it is.
    """
    elements, nesterov, maximize, first = sizes
    compute = compute_dtype(dtypes[0])
    moved = [dtypes[i] for i in range(3) if dtypes[i] != "none"]
    block_bytes = sum(2 * DTYPE_BYTES[dtype] for dtype in moved) + (len(moved) + 4) * DTYPE_BYTES[compute]
    block = block_limit(chip, block_bytes, 8192)
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    arguments: dict[str, Argument] = {}
    names = ("parameter", "gradient", "momentum_buffer", "grad_scale", "found_inf", "rate_tensor")
    for i, name in enumerate(names):
        arguments[name] = Tensor(i) if dtypes[i] != "none" else None
    for i, name in enumerate(("rate", "decay", "momentum", "dampening")):
        arguments[name] = Scalar(i, compute)
    arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
    constexprs = {
        "NESTEROV": bool(nesterov),
        "MAXIMIZE": bool(maximize),
        "FIRST": bool(first),
        "COMPUTE": TRITON_DTYPES[compute],
        "BLOCK": block,
    }
    return Launch(fused_sgd, (programs, 1, 1), arguments, constexprs)
