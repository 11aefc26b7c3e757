"""Softmax of rows in DRAM, one idea a step; every launch function takes (out, x), contiguous [rows, columns].

`ROWS_THAT_FIT` climbs with rows that a processing element can hold, `LONG_ROWS` with longer ones. docs/ladder.md
has the chip time of each step and why it is what it is.
"""

from collections.abc import Callable

import torch
import triton
import triton.language as tl

from mtia_sim_kernels.launch_shape import ceil_div, next_power_of_2

Softmax = Callable[[torch.Tensor, torch.Tensor], None]


@triton.jit
def three_passes_kernel(out, x, columns, BLOCK: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * columns
    out += tl.program_id(0).to(tl.int64) * columns
    lane = tl.arange(0, BLOCK)
    largest = -float("inf")
    for start in range(0, columns, BLOCK):
        values = tl.load(x + start + lane, mask=start + lane < columns, other=-float("inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(values, axis=0))
    total = 0.0
    for start in range(0, columns, BLOCK):
        values = tl.load(x + start + lane, mask=start + lane < columns, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(values - largest), axis=0)
    for start in range(0, columns, BLOCK):
        inside = start + lane < columns
        values = tl.load(x + start + lane, mask=inside, other=-float("inf")).to(tl.float32)
        result = tl.exp(values - largest) / total
        tl.store(out + start + lane, result.to(out.dtype.element_ty), mask=inside)


def three_passes(out: torch.Tensor, x: torch.Tensor) -> None:
    """As the definition reads: the row's maximum, then its sum, then the result; a program a row."""
    three_passes_kernel[(x.shape[0],)](out, x, x.shape[1], BLOCK=256, num_stages=1)


@triton.jit
def row_in_local_memory_kernel(out, x, columns, COLUMNS: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * columns
    out += tl.program_id(0).to(tl.int64) * columns
    lane = tl.arange(0, COLUMNS)
    values = tl.load(x + lane, mask=lane < columns, other=-float("inf")).to(tl.float32)
    exponential = tl.exp(values - tl.max(values, axis=0))
    result = exponential / tl.sum(exponential, axis=0)
    tl.store(out + lane, result.to(out.dtype.element_ty), mask=lane < columns)


def row_in_local_memory(out: torch.Tensor, x: torch.Tensor) -> None:
    """The row is loaded once and stays in local memory."""
    row_in_local_memory_kernel[(x.shape[0],)](out, x, x.shape[1], COLUMNS=next_power_of_2(x.shape[1]))


@triton.jit
def no_division_kernel(out, x, columns, COLUMNS: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * columns
    out += tl.program_id(0).to(tl.int64) * columns
    lane = tl.arange(0, COLUMNS)
    values = tl.load(x + lane, mask=lane < columns, other=-float("inf")).to(tl.float32)
    exponential = tl.exp(values - tl.max(values, axis=0))
    result = exponential * (1.0 / tl.sum(exponential, axis=0))
    tl.store(out + lane, result.to(out.dtype.element_ty), mask=lane < columns)


def no_division(out: torch.Tensor, x: torch.Tensor) -> None:
    """One reciprocal a row and a product an element: a division keeps the vector core eight times as long."""
    no_division_kernel[(x.shape[0],)](out, x, x.shape[1], COLUMNS=next_power_of_2(x.shape[1]))


@triton.jit
def four_rows_kernel(out, x, rows, columns, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    first = tl.program_id(0) * ROWS
    row = tl.arange(0, ROWS)[:, None]
    column = tl.arange(0, COLUMNS)[None, :]
    inside = (row < rows - first) & (column < columns)
    offsets = row * columns + column
    x += first.to(tl.int64) * columns
    out += first.to(tl.int64) * columns
    values = tl.load(x + offsets, mask=inside, other=-float("inf")).to(tl.float32)
    exponential = tl.exp(values - tl.max(values, axis=1, keep_dims=True))
    result = exponential * (1.0 / tl.sum(exponential, axis=1, keep_dims=True))
    tl.store(out + offsets, result.to(out.dtype.element_ty), mask=inside)


def four_rows(out: torch.Tensor, x: torch.Tensor) -> None:
    """Four rows a program: one DMA's latency, one issue of each instruction and one start of a program for four."""
    columns = next_power_of_2(x.shape[1])
    # Fewer rows where two float32 tiles of four do not fit.
    fitting = torch.mtia_sim.get_device_properties(x.device).local_memory_per_processing_element // (8 * columns)
    rows = max(1, min(4, next_power_of_2(fitting + 1) // 2))
    four_rows_kernel[(ceil_div(x.shape[0], rows),)](out, x, *x.shape, ROWS=rows, COLUMNS=columns)


@triton.jit
def long_chunks_kernel(out, x, columns, BLOCK: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * columns
    out += tl.program_id(0).to(tl.int64) * columns
    lane = tl.arange(0, BLOCK)
    largest = -float("inf")
    for start in tl.range(0, columns, BLOCK, num_stages=2):
        values = tl.load(x + start + lane, mask=start + lane < columns, other=-float("inf")).to(tl.float32)
        largest = tl.maximum(largest, tl.max(values, axis=0))
    total = 0.0
    for start in tl.range(0, columns, BLOCK, num_stages=2):
        values = tl.load(x + start + lane, mask=start + lane < columns, other=-float("inf")).to(tl.float32)
        total += tl.sum(tl.exp(values - largest), axis=0)
    scale = 1.0 / total
    for start in tl.range(0, columns, BLOCK, num_stages=2):
        inside = start + lane < columns
        values = tl.load(x + start + lane, mask=inside, other=-float("inf")).to(tl.float32)
        result = tl.exp(values - largest) * scale
        tl.store(out + start + lane, result.to(out.dtype.element_ty), mask=inside)


def chunk(x: torch.Tensor) -> int:
    """Elements in a sixteenth of local memory, a power of two; no more than a row needs."""
    chip = torch.mtia_sim.get_device_properties(x.device)
    most = chip.local_memory_per_processing_element // 16 // x.element_size()
    return min(next_power_of_2(x.shape[1]), next_power_of_2(most + 1) // 2)


def long_chunks(out: torch.Tensor, x: torch.Tensor) -> None:
    """Still three passes, in chunks of a sixteenth of local memory, the next on its way while this one is worked on."""
    long_chunks_kernel[(x.shape[0],)](out, x, x.shape[1], BLOCK=chunk(x))


@triton.jit
def online_kernel(out, x, columns, BLOCK: tl.constexpr):
    x += tl.program_id(0).to(tl.int64) * columns
    out += tl.program_id(0).to(tl.int64) * columns
    lane = tl.arange(0, BLOCK)
    largest = -float("inf")
    total = 0.0
    for start in tl.range(0, columns, BLOCK, num_stages=2):
        values = tl.load(x + start + lane, mask=start + lane < columns, other=-float("inf")).to(tl.float32)
        new_largest = tl.maximum(largest, tl.max(values, axis=0))
        # Until a row has shown more than -inf, -inf - -inf must not make a NaN.
        shift = tl.where(new_largest == -float("inf"), 0.0, new_largest)
        total = total * tl.exp(largest - shift) + tl.sum(tl.exp(values - shift), axis=0)
        largest = new_largest
    scale = 1.0 / total
    for start in tl.range(0, columns, BLOCK, num_stages=2):
        inside = start + lane < columns
        values = tl.load(x + start + lane, mask=inside, other=-float("inf")).to(tl.float32)
        result = tl.exp(values - largest) * scale
        tl.store(out + start + lane, result.to(out.dtype.element_ty), mask=inside)


def online(out: torch.Tensor, x: torch.Tensor) -> None:
    """Maximum and sum in one pass: the sum so far is rescaled when the maximum grows, and the row is read twice."""
    online_kernel[(x.shape[0],)](out, x, x.shape[1], BLOCK=chunk(x))


ROWS_THAT_FIT: tuple[Softmax, ...] = (three_passes, row_in_local_memory, no_division, four_rows)
LONG_ROWS: tuple[Softmax, ...] = (three_passes, long_chunks, online)
