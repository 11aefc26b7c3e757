"""One step of Adam (Kingma and Ba 2014) or AdamW (Loshchilov and Hutter 2017) on one parameter."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.optimizer_step import gradient_of, learning_rate_of, optimizer_launch, tiles_to_step


@triton.jit
def fused_adam(
    parameter, gradient, average, square_average, max_square_average, step, grad_scale, found_inf, rate_tensor,
    rate, one_minus_beta1, one_minus_beta2, decay, epsilon, elements, tiles, programs,
    DECOUPLED: tl.constexpr, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr,
):  # fmt: skip
    """The betas come as 1 - beta, which float32 holds exactly enough for 1 - beta^step = -expm1(step * log(beta))."""
    learning_rate = learning_rate_of(rate_tensor, rate, COMPUTE)
    alpha1 = tl.full([], one_minus_beta1, COMPUTE)
    alpha2 = tl.full([], one_minus_beta2, COMPUTE)
    weight_decay = tl.full([], decay, COMPUTE)
    eps = tl.full([], epsilon, COMPUTE)
    steps = tl.load(step).to(COMPUTE)
    correction1 = -libdevice.expm1(steps * libdevice.log1p(-alpha1))
    correction2 = tl.sqrt(-libdevice.expm1(steps * libdevice.log1p(-alpha2)))
    step_size = learning_rate / correction1
    inverse_correction2 = 1.0 / correction2
    lane = tl.arange(0, BLOCK)
    for tile in tl.range(tl.program_id(0), tiles_to_step(found_inf, tiles), programs, num_stages=2):
        start = tile * tl.full([], BLOCK, tl.int64)
        mask = lane < tl.minimum(elements - start, BLOCK).to(tl.int32)
        offsets = start + lane
        value = tl.load(parameter + offsets, mask=mask).to(COMPUTE)
        grad = gradient_of(gradient, offsets, mask, grad_scale, MAXIMIZE, COMPUTE)
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
    tensors = ("parameter", "gradient", "average", "square_average", "max_square_average", "step")
    tensors += ("grad_scale", "found_inf", "rate_tensor")
    scalars = ("rate", "one_minus_beta1", "one_minus_beta2", "decay", "epsilon")
    constexprs = {"DECOUPLED": bool(decoupled), "MAXIMIZE": bool(maximize)}
    return optimizer_launch(fused_adam, tensors, scalars, dtypes, 5, elements, chip, constexprs)
