"""One step of Adam (Kingma and Ba 2014) or AdamW (Loshchilov and Hutter 2017) on all parameters of a list."""

from __future__ import annotations

import triton
import triton.language as tl
from triton.language.extra import libdevice

from mtia_sim_kernels.launch_shape import ChipLimits, Launch, launch_shape
from mtia_sim_kernels.triton.chunks import chunk_pointer
from mtia_sim_kernels.triton.optimizer_step import chunks_to_step, gradient_of, learning_rate_of, optimizer_launch


@triton.jit
def fused_adam(
    table, grad_scale, found_inf, rate_tensor,
    rate, one_minus_beta1, one_minus_beta2, decay, epsilon, chunks, programs,
    PARAMETER: tl.constexpr, GRADIENT: tl.constexpr, AVERAGE: tl.constexpr, SQUARE: tl.constexpr,
    LARGEST: tl.constexpr, STEP: tl.constexpr,
    DECOUPLED: tl.constexpr, MAXIMIZE: tl.constexpr, COMPUTE: tl.constexpr, BLOCK: tl.constexpr, PIECES: tl.constexpr,
):  # fmt: skip
    """The betas come as 1 - beta, which float32 holds exactly enough for 1 - beta^step = -expm1(step * log(beta))."""
    learning_rate = learning_rate_of(rate_tensor, rate, COMPUTE)
    alpha1 = tl.full([], one_minus_beta1, COMPUTE)
    alpha2 = tl.full([], one_minus_beta2, COMPUTE)
    weight_decay = tl.full([], decay, COMPUTE)
    eps = tl.full([], epsilon, COMPUTE)
    log_beta1 = libdevice.log1p(-alpha1)
    log_beta2 = libdevice.log1p(-alpha2)
    lane = tl.arange(0, BLOCK)
    STEP_COLUMN: tl.constexpr = 5 if LARGEST is None else 6
    for chunk in tl.range(tl.program_id(0), chunks_to_step(found_inf, chunks), programs, num_stages=2):
        row = table + chunk * (STEP_COLUMN + 1)
        elements = tl.load(row).to(tl.int32)
        parameter = chunk_pointer(row, 1, PARAMETER)
        gradient = chunk_pointer(row, 2, GRADIENT)
        average = chunk_pointer(row, 3, AVERAGE)
        square_average = chunk_pointer(row, 4, SQUARE)
        steps = tl.load(chunk_pointer(row, STEP_COLUMN, STEP)).to(COMPUTE)
        correction1 = -libdevice.expm1(steps * log_beta1)
        correction2 = tl.sqrt(-libdevice.expm1(steps * log_beta2))
        step_size = learning_rate / correction1
        inverse_correction2 = 1.0 / correction2
        for piece in tl.static_range(PIECES):
            offsets = piece * BLOCK + lane
            mask = offsets < elements
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
            tl.store(average + offsets, mean.to(AVERAGE), mask=mask)
            tl.store(square_average + offsets, square.to(SQUARE), mask=mask)
            if LARGEST is not None:
                max_square_average = chunk_pointer(row, 5, LARGEST)
                largest = tl.load(max_square_average + offsets, mask=mask).to(COMPUTE)
                square = tl.maximum(largest, square, propagate_nan=tl.PropagateNan.ALL)
                tl.store(max_square_average + offsets, square.to(LARGEST), mask=mask)
            denominator = tl.sqrt(square) * inverse_correction2 + eps
            value = value - step_size * (mean / denominator)
            tl.store(parameter + offsets, value.to(PARAMETER), mask=mask)


@launch_shape("fused_adam")
def fused_adam_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (chunk table, grad_scale or none, found_inf or none, learning rate or none), then the dtypes of
    (parameter, gradient, exp_avg, exp_avg_sq, max_exp_avg_sq or none, step); scalars (learning rate, 1 - beta1,
    1 - beta2, weight decay, eps).

    A row of the table: elements, the addresses of the chunk in the first five (four without a maximum), the address of
    step, which is already incremented. `sizes` = (chunks, elements of a chunk, 1 for AdamW or 0 for Adam, maximize). A
    found_inf that is not 0 leaves all as it is.
    """
    chunks, chunk, decoupled, maximize = sizes
    tensors = ("grad_scale", "found_inf", "rate_tensor")
    scalars = ("rate", "one_minus_beta1", "one_minus_beta2", "decay", "epsilon")
    lists = ("PARAMETER", "GRADIENT", "AVERAGE", "SQUARE", "LARGEST")
    constexprs = {"DECOUPLED": bool(decoupled), "MAXIMIZE": bool(maximize)}
    return optimizer_launch(fused_adam, tensors, scalars, lists, ("STEP",), dtypes, chunks, chunk, chip, constexprs)
