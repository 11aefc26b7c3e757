"""Causal attention, one idea a step; every launch function takes (out, q, k, v), contiguous [heads, length, size].

`size` is a power of two from 16 up. `STEPS` climbs; docs/ladder.md has the chip time of each step and why it is what
it is. Loops have one buffer a tile until step 5: num_stages=1, where the compiler's default is more.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ceil_div, next_power_of_2

Attention = Callable[[torch.Tensor, torch.Tensor, torch.Tensor, torch.Tensor], None]
LOG2_E = 1.4426950408889634


@triton.jit
def rows_of(base, first, length, ROWS: tl.constexpr, SIZE: tl.constexpr):
    """The tile [ROWS, SIZE] of rows from `first` on; zeros past the end."""
    row = tl.arange(0, ROWS)[:, None]
    offsets = row * SIZE + tl.arange(0, SIZE)[None, :]
    return tl.load(base + first * SIZE + offsets, mask=row < length - first, other=0.0)


@triton.jit
def store_rows(base, first, length, tile, ROWS: tl.constexpr, SIZE: tl.constexpr):
    row = tl.arange(0, ROWS)[:, None]
    offsets = row * SIZE + tl.arange(0, SIZE)[None, :]
    tl.store(base + first * SIZE + offsets, tile.to(base.dtype.element_ty), mask=row < length - first)


# ---- step 1: the scores in DRAM


@triton.jit
def scores_kernel(scores, q, k, length, scale, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    head = tl.program_id(2).to(tl.int64)
    row, column = tl.program_id(1) * BLOCK, tl.program_id(0) * BLOCK
    query = rows_of(q + head * length * SIZE, row, length, BLOCK, SIZE)
    key = rows_of(k + head * length * SIZE, column, length, BLOCK, SIZE)
    logits = tl.dot(query, tl.trans(key)) * scale
    rows = row + tl.arange(0, BLOCK)[:, None]
    columns = column + tl.arange(0, BLOCK)[None, :]
    logits = tl.where(columns <= rows, logits, -float("inf"))
    inside = (rows < length) & (columns < length)
    tl.store(scores + head * length * length + rows * length + columns, logits, mask=inside)


@triton.jit
def weights_kernel(weights, scores, rows, length, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    first = tl.program_id(0).to(tl.int64) * ROWS
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row < rows - first) & (column < length)
    offsets = row * length + column
    values = tl.load(scores + first * length + offsets, mask=inside, other=-float("inf"))
    exponential = tl.exp(values - tl.max(values, axis=1, keep_dims=True))
    result = exponential * (1.0 / tl.sum(exponential, axis=1, keep_dims=True))
    tl.store(weights + first * length + offsets, result.to(weights.dtype.element_ty), mask=inside)


@triton.jit
def weighted_values_kernel(out, weights, v, length, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    head = tl.program_id(1).to(tl.int64)
    first = tl.program_id(0) * BLOCK
    row = tl.arange(0, BLOCK)[:, None]
    column = tl.arange(0, BLOCK)[None, :]
    weights += head * length * length + first * length
    accumulator = tl.zeros([BLOCK, SIZE], tl.float32)
    for start in range(0, length, BLOCK):
        inside = (row < length - first) & (column < length - start)
        weight = tl.load(weights + row * length + start + column, mask=inside, other=0.0)
        accumulator = tl.dot(weight, rows_of(v + head * length * SIZE, start, length, BLOCK, SIZE), accumulator)
    store_rows(out + head * length * SIZE, first, length, accumulator, BLOCK, SIZE)


def scores_in_memory(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """Three kernels, as the formula reads: scores, their softmax, the weighted values; [length, length] in memory."""
    heads, length, size = q.shape
    scores = torch.empty(heads, length, length, device=q.device)
    weights = torch.empty(heads, length, length, device=q.device, dtype=v.dtype)
    blocks = ceil_div(length, 64)
    scores_kernel[(blocks, blocks, heads)](scores, q, k, length, size**-0.5, BLOCK=64, SIZE=size)
    columns = next_power_of_2(length)
    rows = max(1, 8192 // columns)
    weights_kernel[(ceil_div(heads * length, rows),)](weights, scores, heads * length, length, rows, columns)
    weighted_values_kernel[(blocks, heads)](out, weights, v, length, BLOCK=64, SIZE=size, num_stages=1)


# ---- step 2: the online softmax


@triton.jit
def online_softmax_kernel(out, q, k, v, length, scale, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    base = tl.program_id(1).to(tl.int64) * length * SIZE
    first = tl.program_id(0) * BLOCK
    row = first + tl.arange(0, BLOCK)[:, None]
    query = rows_of(q + base, first, length, BLOCK, SIZE)
    accumulator = tl.zeros([BLOCK, SIZE], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    largest = tl.full([BLOCK], -float("inf"), tl.float32)
    for start in range(0, length, BLOCK):
        key = rows_of(k + base, start, length, BLOCK, SIZE)
        value = rows_of(v + base, start, length, BLOCK, SIZE)
        logits = tl.dot(query, tl.trans(key)) * scale
        # The first block of keys has one that every row sees: no row's maximum stays at -inf.
        logits = tl.where(start + tl.arange(0, BLOCK)[None, :] <= row, logits, -float("inf"))
        new_largest = tl.maximum(largest, tl.max(logits, axis=1))
        weights = tl.exp(logits - new_largest[:, None])
        decay = tl.exp(largest - new_largest)
        total = total * decay + tl.sum(weights, axis=1)
        accumulator = tl.dot(weights.to(value.dtype), value, accumulator * decay[:, None])
        largest = new_largest
    store_rows(out + base, first, length, accumulator / total[:, None], BLOCK, SIZE)


def online_softmax(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """One kernel: maximum, sum and weighted values are carried along the keys, so that no score leaves the PE."""
    heads, length, size = q.shape
    grid = (ceil_div(length, 64), heads)
    online_softmax_kernel[grid](out, q, k, v, length, size**-0.5, BLOCK=64, SIZE=size, num_stages=1)


# ---- step 3: keys above the diagonal are skipped


@triton.jit
def causal_skipping_kernel(out, q, k, v, length, scale, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    base = tl.program_id(1).to(tl.int64) * length * SIZE
    first = tl.program_id(0) * BLOCK
    row = first + tl.arange(0, BLOCK)[:, None]
    query = rows_of(q + base, first, length, BLOCK, SIZE)
    accumulator = tl.zeros([BLOCK, SIZE], tl.float32)
    total = tl.zeros([BLOCK], tl.float32)
    largest = tl.full([BLOCK], -float("inf"), tl.float32)
    for start in range(0, first + BLOCK, BLOCK):
        key = rows_of(k + base, start, length, BLOCK, SIZE)
        value = rows_of(v + base, start, length, BLOCK, SIZE)
        logits = tl.dot(query, tl.trans(key)) * scale
        logits = tl.where(start + tl.arange(0, BLOCK)[None, :] <= row, logits, -float("inf"))
        new_largest = tl.maximum(largest, tl.max(logits, axis=1))
        weights = tl.exp(logits - new_largest[:, None])
        decay = tl.exp(largest - new_largest)
        total = total * decay + tl.sum(weights, axis=1)
        accumulator = tl.dot(weights.to(value.dtype), value, accumulator * decay[:, None])
        largest = new_largest
    store_rows(out + base, first, length, accumulator / total[:, None], BLOCK, SIZE)


def causal_skipping(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """The loop ends at the diagonal: half of the work is left."""
    heads, length, size = q.shape
    grid = (ceil_div(length, 64), heads)
    causal_skipping_kernel[grid](out, q, k, v, length, size**-0.5, BLOCK=64, SIZE=size, num_stages=1)


# ---- step 4: programs of equal length


@triton.jit
def balanced_kernel(out, q, k, v, length, scale, blocks, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    base = tl.program_id(1).to(tl.int64) * length * SIZE
    pair = tl.program_id(0)
    # The middle block of an odd number is its own partner.
    for member in range(tl.where(pair == blocks - 1 - pair, 1, 2)):
        first = tl.where(member == 0, blocks - 1 - pair, pair) * BLOCK
        row = first + tl.arange(0, BLOCK)[:, None]
        query = rows_of(q + base, first, length, BLOCK, SIZE)
        accumulator = tl.zeros([BLOCK, SIZE], tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        largest = tl.full([BLOCK], -float("inf"), tl.float32)
        for start in range(0, first + BLOCK, BLOCK):
            key = rows_of(k + base, start, length, BLOCK, SIZE)
            value = rows_of(v + base, start, length, BLOCK, SIZE)
            logits = tl.dot(query, tl.trans(key)) * scale
            logits = tl.where(start + tl.arange(0, BLOCK)[None, :] <= row, logits, -float("inf"))
            new_largest = tl.maximum(largest, tl.max(logits, axis=1))
            weights = tl.exp(logits - new_largest[:, None])
            decay = tl.exp(largest - new_largest)
            total = total * decay + tl.sum(weights, axis=1)
            accumulator = tl.dot(weights.to(value.dtype), value, accumulator * decay[:, None])
            largest = new_largest
        store_rows(out + base, first, length, accumulator / total[:, None], BLOCK, SIZE)


def balanced(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """A program takes a long row of blocks and a short one: no PE is left with the long ones alone."""
    heads, length, size = q.shape
    blocks = ceil_div(length, 64)
    grid = (ceil_div(blocks, 2), heads)
    balanced_kernel[grid](out, q, k, v, length, size**-0.5, blocks, BLOCK=64, SIZE=size, num_stages=1)


# ---- step 5: the next keys and values are on their way


@triton.jit
def double_buffered_kernel(out, q, k, v, length, scale, blocks, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    base = tl.program_id(1).to(tl.int64) * length * SIZE
    pair = tl.program_id(0)
    for member in range(tl.where(pair == blocks - 1 - pair, 1, 2)):
        first = tl.where(member == 0, blocks - 1 - pair, pair) * BLOCK
        row = first + tl.arange(0, BLOCK)[:, None]
        query = rows_of(q + base, first, length, BLOCK, SIZE)
        accumulator = tl.zeros([BLOCK, SIZE], tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        largest = tl.full([BLOCK], -float("inf"), tl.float32)
        for start in tl.range(0, first + BLOCK, BLOCK, num_stages=2):
            key = rows_of(k + base, start, length, BLOCK, SIZE)
            value = rows_of(v + base, start, length, BLOCK, SIZE)
            logits = tl.dot(query, tl.trans(key)) * scale
            logits = tl.where(start + tl.arange(0, BLOCK)[None, :] <= row, logits, -float("inf"))
            new_largest = tl.maximum(largest, tl.max(logits, axis=1))
            weights = tl.exp(logits - new_largest[:, None])
            decay = tl.exp(largest - new_largest)
            total = total * decay + tl.sum(weights, axis=1)
            accumulator = tl.dot(weights.to(value.dtype), value, accumulator * decay[:, None])
            largest = new_largest
        store_rows(out + base, first, length, accumulator / total[:, None], BLOCK, SIZE)


def double_buffered(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """Keys and values have two buffers each, so that the next ones load while these are worked on."""
    heads, length, size = q.shape
    blocks = ceil_div(length, 64)
    double_buffered_kernel[(ceil_div(blocks, 2), heads)](out, q, k, v, length, size**-0.5, blocks, BLOCK=64, SIZE=size)


# ---- step 6: less for the vector core to do


@triton.jit
def softmax_step(
    dots, total, largest, first, start, scale, DIAGONAL: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr
):
    """Weights of a block, the decay of what was summed so far, the new sum and maximum; in powers of 2."""
    if DIAGONAL:
        row = first + tl.arange(0, ROWS)[:, None]
        dots = tl.where(start + tl.arange(0, KEYS)[None, :] <= row, dots, -float("inf"))
    # The vector core takes its work in order: scaled before the maximum, it need not wait for the reduction engine.
    scaled = dots * scale
    new_largest = tl.maximum(largest, tl.max(dots, axis=1) * scale)
    weights = tl.exp2(scaled - new_largest[:, None])
    decay = tl.exp2(largest - new_largest)
    return weights, decay, total * decay + tl.sum(weights, axis=1), new_largest


@triton.jit
def attend(
    accumulator, total, largest, query, k, v, begin, end, first, length, scale,
    DIAGONAL: tl.constexpr, BLOCK: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    for start in tl.range(begin, end, BLOCK, num_stages=2):
        key = rows_of(k, start, length, BLOCK, SIZE)
        value = rows_of(v, start, length, BLOCK, SIZE)
        dots = tl.dot(query, tl.trans(key))
        weights, decay, total, largest = softmax_step(dots, total, largest, first, start, scale, DIAGONAL, BLOCK, BLOCK)
        accumulator = tl.dot(weights.to(value.dtype), value, accumulator * decay[:, None])
    return accumulator, total, largest


@triton.jit
def less_vector_work_kernel(out, q, k, v, length, scale, blocks, BLOCK: tl.constexpr, SIZE: tl.constexpr):
    base = tl.program_id(1).to(tl.int64) * length * SIZE
    pair = tl.program_id(0)
    for member in range(tl.where(pair == blocks - 1 - pair, 1, 2)):
        first = tl.where(member == 0, blocks - 1 - pair, pair) * BLOCK
        query = rows_of(q + base, first, length, BLOCK, SIZE)
        accumulator = tl.zeros([BLOCK, SIZE], tl.float32)
        total = tl.zeros([BLOCK], tl.float32)
        largest = tl.full([BLOCK], -float("inf"), tl.float32)
        accumulator, total, largest = attend(
            accumulator, total, largest, query, k + base, v + base, 0, first, first, length, scale, False, BLOCK, SIZE
        )
        accumulator, total, largest = attend(
            accumulator, total, largest, query, k + base, v + base, first, first + BLOCK, first, length, scale,
            True, BLOCK, SIZE,
        )  # fmt: skip
        store_rows(out + base, first, length, accumulator * (1.0 / total)[:, None], BLOCK, SIZE)


def less_vector_work(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """The mask on the diagonal's blocks alone, powers of 2 with log2(e) folded into the scale, one reciprocal a row."""
    heads, length, size = q.shape
    blocks = ceil_div(length, 64)
    less_vector_work_kernel[(ceil_div(blocks, 2), heads)](
        out, q, k, v, length, size**-0.5 * LOG2_E, blocks, BLOCK=64, SIZE=size
    )


# ---- step 7: two blocks of rows in turn


@triton.jit
def attend_twice(
    upper, upper_total, upper_largest, lower, lower_total, lower_largest, upper_query, lower_query, k, v,
    begin, end, first, length, scale,
    DIAGONAL: tl.constexpr, ROWS: tl.constexpr, KEYS: tl.constexpr, SIZE: tl.constexpr,
):  # fmt: skip
    """Both products with the keys first: the dot product engine works on one block while another is in the softmax."""
    for start in tl.range(begin, end, KEYS, num_stages=2):
        key = tl.trans(rows_of(k, start, length, KEYS, SIZE))
        value = rows_of(v, start, length, KEYS, SIZE)
        dots = tl.dot(upper_query, key)
        lower_dots = tl.dot(lower_query, key)
        weights, decay, upper_total, upper_largest = softmax_step(
            dots, upper_total, upper_largest, first, start, scale, DIAGONAL, ROWS, KEYS
        )
        upper = tl.dot(weights.to(value.dtype), value, upper * decay[:, None])
        weights, decay, lower_total, lower_largest = softmax_step(
            lower_dots, lower_total, lower_largest, first + ROWS, start, scale, DIAGONAL, ROWS, KEYS
        )
        lower = tl.dot(weights.to(value.dtype), value, lower * decay[:, None])
    return upper, upper_total, upper_largest, lower, lower_total, lower_largest


@triton.jit
def two_blocks_in_turn_kernel(
    out, q, k, v, length, scale, blocks, ROWS: tl.constexpr, KEYS: tl.constexpr, SIZE: tl.constexpr
):
    base = tl.program_id(1).to(tl.int64) * length * SIZE
    pair = tl.program_id(0)
    for member in range(tl.where(pair == blocks - 1 - pair, 1, 2)):
        first = tl.where(member == 0, blocks - 1 - pair, pair) * (2 * ROWS)
        query = rows_of(q + base, first, length, ROWS, SIZE)
        lower_query = rows_of(q + base, first + ROWS, length, ROWS, SIZE)
        upper = tl.zeros([ROWS, SIZE], tl.float32)
        lower = tl.zeros([ROWS, SIZE], tl.float32)
        total = tl.zeros([ROWS], tl.float32)
        lower_total = tl.zeros([ROWS], tl.float32)
        largest = tl.full([ROWS], -float("inf"), tl.float32)
        lower_largest = tl.full([ROWS], -float("inf"), tl.float32)
        whole = first // KEYS * KEYS
        upper, total, largest, lower, lower_total, lower_largest = attend_twice(
            upper, total, largest, lower, lower_total, lower_largest, query, lower_query, k + base, v + base,
            0, whole, first, length, scale, False, ROWS, KEYS, SIZE,
        )  # fmt: skip
        upper, total, largest, lower, lower_total, lower_largest = attend_twice(
            upper, total, largest, lower, lower_total, lower_largest, query, lower_query, k + base, v + base,
            whole, first + 2 * ROWS, first, length, scale, True, ROWS, KEYS, SIZE,
        )  # fmt: skip
        store_rows(out + base, first, length, upper * (1.0 / total)[:, None], ROWS, SIZE)
        store_rows(out + base, first + ROWS, length, lower * (1.0 / lower_total)[:, None], ROWS, SIZE)


def two_blocks_in_turn(out: torch.Tensor, q: torch.Tensor, k: torch.Tensor, v: torch.Tensor) -> None:
    """64 rows' products while 64 other rows are in the softmax; 128 keys a step where local memory has the room."""
    heads, length, size = q.shape
    blocks = ceil_div(length, 128)
    chip = torch.mtia_sim.get_device_properties(q.device)
    keys = 128 if chip.local_memory_per_processing_element >= 256 * 1024 else 32
    two_blocks_in_turn_kernel[(ceil_div(blocks, 2), heads)](
        out, q, k, v, length, size**-0.5 * LOG2_E, blocks, ROWS=64, KEYS=keys, SIZE=size
    )


STEPS: tuple[Attention, ...] = (
    scores_in_memory,
    online_softmax,
    causal_skipping,
    balanced,
    double_buffered,
    less_vector_work,
    two_blocks_in_turn,
)
