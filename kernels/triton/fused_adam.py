"""One step of Adam (Kingma and Ba 2014) or AdamW (Loshchilov and Hutter 2017) on one parameter."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

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
def fused_adam(
    parameter, gradient, average, square_average, max_square_average, step, grad_scale, found_inf, rate_tensor,
    rate, one_minus_beta1, one_minus_beta2, decay, epsilon, elements, tiles, programs,
    DECOUPLED: tl.constexpr, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The betas come as 1 - beta, which float32 holds exactly enough for 1 - beta^step = -expm1(step * log(beta))."""
    if rate_tensor is not None:
        learning_rate = tl.load(rate_tensor).to(COMPUTE)
    else:
        learning_rate = tl.full([], rate, COMPUTE)
    alpha1 = tl.full([], one_minus_beta1, COMPUTE)
    alpha2 = tl.full([], one_minus_beta2, COMPUTE)
    weight_decay = tl.full([], decay, COMPUTE)
    eps = tl.full([], epsilon, COMPUTE)
    steps = tl.load(step).to(COMPUTE)
    correction1 = -libdevice.expm1(steps * libdevice.log1p(-alpha1))
    correction2 = tl.sqrt(-libdevice.expm1(steps * libdevice.log1p(-alpha2)))
    step_size = learning_rate / correction1
    inverse_correction2 = 1.0 / correction2
    # After a gradient that is not finite, the scaler asks that nothing changes.
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
        if DECOUPLED:
            value = value * (1.0 - learning_rate * weight_decay)
        else:
            grad = grad + value * weight_decay
        mean = tl.load(average + offsets, mask=mask).to(COMPUTE)
        mean = mean + (grad - mean) * alpha1
        square = tl.load(square_average + offsets, mask=mask).to(COMPUTE)
        square = square + (grad * grad - square) * alpha2
        tl.store(average + offsets, mean.to(average.dtype.element_ty), mask=mask)
        tl.store(square_average + offsets, square.to(square_average.dtype.element_ty), mask=mask)
        if max_square_average is not None:
            largest = tl.load(max_square_average + offsets, mask=mask).to(COMPUTE)
            square = tl.maximum(largest, square, propagate_nan=tl.PropagateNan.ALL)
            tl.store(max_square_average + offsets, square.to(max_square_average.dtype.element_ty), mask=mask)
        denominator = tl.sqrt(square) * inverse_correction2 + eps
        value = value - step_size * (mean / denominator)
        tl.store(parameter + offsets, value.to(parameter.dtype.element_ty), mask=mask)


@launch_shape("fused_adam")
def fused_adam_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (parameter, gradient, exp_avg, exp_avg_sq, max_exp_avg_sq or none, step, grad_scale or none,
    found_inf or none, learning rate or none), scalars (learning rate, 1 - beta1, 1 - beta2, weight decay, eps).

    The first five are contiguous (or dense in the same layout), the others one element; step is already incremented.
    `sizes` = (elements, 1 for AdamW or 0 for Adam, maximize). A found_inf that is not 0 leaves all as it is.
    """
    elements, decoupled, maximize = sizes
    compute = compute_dtype(dtypes[0])
    wide = DTYPE_BYTES[compute]
    moved = [dtypes[i] for i in range(5) if dtypes[i] != "none"]
    # Each operand twice (double buffers), its value where that is wider, and two temporaries.
    block_bytes = sum(2 * DTYPE_BYTES[dtype] + (wide if dtype != compute else 0) for dtype in moved) + 2 * wide
    block = block_limit(chip, block_bytes, 8192)
    tiles = ceil_div(elements, block)
    programs, _ = programs_for(chip, tiles)
    names = ("parameter", "gradient", "average", "square_average", "max_square_average", "step", "grad_scale")
    names += ("found_inf", "rate_tensor")
    arguments: dict[str, Argument] = {}
    for i, name in enumerate(names):
        arguments[name] = Tensor(i) if dtypes[i] != "none" else None
    for i, name in enumerate(("rate", "one_minus_beta1", "one_minus_beta2", "decay", "epsilon")):
        arguments[name] = Scalar(i, compute)
    arguments |= {"elements": elements, "tiles": tiles, "programs": programs}
    constexprs = {
        "DECOUPLED": bool(decoupled),
        "MAXIMIZE": bool(maximize),
        "COMPUTE": TRITON_DTYPES[compute],
        "BLOCK": block,
    }
    return Launch(fused_adam, (programs, 1, 1), arguments, constexprs)
