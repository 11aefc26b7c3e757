"""Connectionist temporal classification: the likelihoods of a target's states forwards in time, and the probability of
each state at each step from those backwards. A program owns a sequence, whose states stay in local memory."""

from __future__ import annotations

import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import (
    TRITON_DTYPES,
    Argument,
    ChipLimits,
    Launch,
    Tensor,
    compute_dtype,
    launch_shape,
    next_power_of_2,
    programs_for,
)
from mtia_sim_kernels.triton.checks import check_class

LOWEST = tl.constexpr(float("-inf"))


@triton.jit
def log_sum(a, b, c):
    most = tl.maximum(tl.maximum(a, b), c)
    most = tl.where(most == LOWEST, 0, most)
    return tl.log(tl.exp(a - most) + tl.exp(b - most) + tl.exp(c - most)) + most


@triton.jit
def state_labels(targets, begin, stride, state, states, blank, classes):
    """Every other state is the blank: (label, whether the state before the last one leads here as well)."""
    is_label = (state % 2 == 1) & (state < states)
    place = targets + begin + (state // 2) * stride
    label = tl.where(is_label, tl.load(place, mask=is_label, other=0).to(tl.int64), blank)
    check_class(label, classes)
    follows = is_label & (state >= 3)
    before = tl.load(place - stride, mask=follows, other=0).to(tl.int64)
    return label, follows & (label != before)


@triton.jit
def ctc_forward(
    loss, log_alpha, log_probs, targets, lengths, batches, programs, steps, most_states, classes, stride, step_stride,
    batch_stride, class_stride, blank,
    COMPUTE: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    state = tl.arange(0, STATES)
    for batch in tl.range(tl.program_id(0), batches, programs):
        length = tl.load(lengths + batch)
        target_length = tl.load(lengths + batches + batch)
        begin = tl.load(lengths + 2 * batches + batch)
        states = 2 * target_length + 1
        inside = state < states
        label, jumps = state_labels(targets, begin, stride, state, states, blank, classes)
        wide = batch * tl.full([], 1, tl.int64)
        row = log_alpha + wide * steps * most_states + state
        scores = log_probs + wide * batch_stride + label * class_stride
        first = inside & (state < 2) & (length > 0)
        alpha = tl.load(scores, mask=first, other=LOWEST).to(COMPUTE)
        tl.store(row, alpha, mask=(state < most_states) & (length > 0))
        for step in tl.range(1, length):
            last = tl.where(state >= 1, tl.gather(alpha, tl.maximum(state - 1, 0), 0), LOWEST)
            jumped = tl.where(jumps, tl.gather(alpha, tl.maximum(state - 2, 0), 0), LOWEST)
            score = tl.load(scores + step * step_stride, mask=inside, other=LOWEST).to(COMPUTE)
            alpha = tl.where(inside, log_sum(alpha, last, jumped) + score, LOWEST)
            tl.store(row + step * most_states, alpha, mask=state < most_states)
        is_end = (state == states - 1) | (state == states - 2)
        most = tl.max(tl.where(is_end, alpha, LOWEST), axis=0)
        shift = tl.where(most == LOWEST, 0, most)
        total = tl.log(tl.sum(tl.where(is_end, tl.exp(alpha - shift), 0), axis=0)) + shift
        total = tl.where((length == 0) & (target_length == 0), 0, total)
        tl.store(loss + batch, (-total).to(loss.dtype.element_ty))


@triton.jit
def ctc_states(
    posterior, labels, log_alpha, loss, log_probs, targets, lengths, batches, programs, steps, most_states, classes,
    stride, step_stride, batch_stride, class_stride, blank,
    COMPUTE: tl.constexpr, STATES: tl.constexpr,
):  # fmt: skip
    """posterior [batches, steps, most_states]; the steps behind a sequence's end are not written."""
    state = tl.arange(0, STATES)
    for batch in tl.range(tl.program_id(0), batches, programs):
        length = tl.load(lengths + batch)
        states = 2 * tl.load(lengths + batches + batch) + 1
        begin = tl.load(lengths + 2 * batches + batch)
        inside = state < states
        label, jumps = state_labels(targets, begin, stride, state, states, blank, classes)
        wide = batch * tl.full([], 1, tl.int64)
        tl.store(labels + wide * most_states + state, label, mask=state < most_states)
        # Into which state the one two before jumps.
        jumps_on = tl.gather(jumps.to(tl.int32), tl.minimum(state + 2, STATES - 1), 0) != 0
        jumps_on = jumps_on & (state + 2 < states)
        row = wide * steps * most_states + state
        scores = log_probs + wide * batch_stride + label * class_stride
        nll = tl.load(loss + batch).to(COMPUTE)
        beta = tl.full([STATES], LOWEST, COMPUTE)
        for number in tl.range(0, length):
            step = length - 1 - number
            score = tl.load(scores + step * step_stride, mask=inside, other=LOWEST).to(COMPUTE)
            following = tl.where(state + 1 < states, tl.gather(beta, tl.minimum(state + 1, STATES - 1), 0), LOWEST)
            jumped = tl.where(jumps_on, tl.gather(beta, tl.minimum(state + 2, STATES - 1), 0), LOWEST)
            begins = tl.where((state == states - 1) | (state == states - 2), score, LOWEST)
            beta = tl.where(number == 0, begins, log_sum(beta, following, jumped) + score)
            beta = tl.where(inside, beta, LOWEST)
            place = row + step * most_states
            alpha = tl.load(log_alpha + place, mask=inside, other=LOWEST).to(COMPUTE)
            share = tl.exp(alpha + beta - score + nll)
            tl.store(posterior + place, tl.where(inside & (score != LOWEST), share, 0), mask=state < most_states)


def ctc_launch(kernel: object, names: tuple[str, ...], sizes: tuple[int, ...], dtype: str, chip: ChipLimits) -> Launch:
    batches, most_states = sizes[0], sizes[2]
    programs, _ = programs_for(chip, batches)
    arguments: dict[str, Argument] = {name: Tensor(i) for i, name in enumerate(names)}
    arguments |= {"programs": programs}
    given = ("batches", "steps", "most_states", "classes", "stride", "step_stride", "batch_stride", "class_stride")
    arguments |= zip((*given, "blank"), sizes, strict=True)
    constexprs = {"COMPUTE": TRITON_DTYPES[compute_dtype(dtype)], "STATES": max(16, next_power_of_2(most_states))}
    return Launch(kernel, (programs, 1, 1), arguments, constexprs)


@launch_shape("ctc_forward")
def ctc_forward_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (loss, log_alpha, log_probs, targets, lengths), no scalars.

    `sizes` = (batches, steps, states of the longest target, classes, stride of a target, log_probs' strides of step,
    batch and class, blank). lengths is int64 [3, batches]: of sequences, of targets, where these begin.
    """
    return ctc_launch(ctc_forward, ("loss", "log_alpha", "log_probs", "targets", "lengths"), sizes, dtypes[2], chip)


@launch_shape("ctc_states")
def ctc_states_shape(dtypes: tuple[str, ...], sizes: tuple[int, ...], chip: ChipLimits) -> Launch:
    """tensors (posterior, labels, log_alpha, loss, log_probs, targets, lengths), no scalars; `sizes` as above."""
    names = ("posterior", "labels", "log_alpha", "loss", "log_probs", "targets", "lengths")
    return ctc_launch(ctc_states, names, sizes, dtypes[4], chip)
