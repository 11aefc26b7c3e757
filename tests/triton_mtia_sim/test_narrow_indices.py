"""Indices of 8 and 16 bits, signed and unsigned, computed and loaded: against numpy, which wraps as Triton does."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl

DEVICE = "mtia_sim"
TYPES = [torch.int8, torch.uint8, torch.int16, torch.uint16, torch.int32, torch.uint32, torch.int64]
NARROW = [torch.int8, torch.uint8, torch.int16, torch.uint16]


def indices(dtype, count, low, high, seed=0):
    limits = torch.iinfo(dtype)
    generator = torch.Generator().manual_seed(seed)
    chosen = torch.randint(max(low, limits.min), min(high, limits.max + 1), (count,), generator=generator)
    return chosen.to(dtype), chosen


@triton.jit
def take(x, index, out, n, BLOCK: tl.constexpr, MIDDLE: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    chosen = tl.load(index + offsets, mask=offsets < n, other=0)
    tl.store(out + offsets, tl.load(x + MIDDLE + chosen, mask=offsets < n, other=-7))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
@pytest.mark.parametrize("count", [1, 77, 256])
def test_loaded_offsets(dtype, count):
    """From the middle of a tensor: signed ones go back, unsigned ones never do."""
    index, wanted = indices(dtype, count, -300, 300, count)
    x, block = torch.randn(1000), triton.next_power_of_2(count)
    out = torch.zeros(block, device=DEVICE)
    take[(1,)](x.to(DEVICE), index.to(DEVICE), out, count, BLOCK=block, MIDDLE=400)
    expected = torch.full((block,), -7.0)
    expected[:count] = x[400 + wanted]
    assert torch.equal(out.cpu(), expected)


@triton.jit
def put(x, index, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    where = tl.load(index + offsets)
    tl.store(out + where, tl.load(x + offsets))
    tl.atomic_add(out + 1000 + where, 1.0)


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_stores_and_atomics(dtype):
    places = torch.randperm(128, generator=torch.Generator().manual_seed(3))[:64]
    x = torch.randn(64)
    out = torch.zeros(2000, device=DEVICE)
    put[(1,)](x.to(DEVICE), places.to(dtype).to(DEVICE), out, BLOCK=64)
    expected = torch.zeros(2000)
    expected[places] = x
    expected[1000 + places] = 1
    assert torch.equal(out.cpu(), expected)


@triton.jit
def rows_and_columns(x, rows, columns, out, R: tl.constexpr, C: tl.constexpr):
    down, across = tl.arange(0, R), tl.arange(0, C)
    row, column = tl.load(rows + down), tl.load(columns + across)
    tile = tl.load(x + row[:, None] * 32 + column[None, :])
    tl.store(out + down[:, None] * C + across[None, :], tile)


@pytest.mark.parametrize("of_rows", [torch.int16, torch.int64], ids=str)
@pytest.mark.parametrize("of_columns", NARROW, ids=str)
def test_rows_and_columns(of_rows, of_columns):
    """Two vectors of offsets, of types that differ: the sum is taken in the wider one."""
    generator = torch.Generator().manual_seed(5)
    rows, columns = (torch.randint(0, 32, (count,), generator=generator) for count in (16, 32))
    x, out = torch.randn(32, 32), torch.zeros(16, 32, device=DEVICE)
    placed = (x.to(DEVICE), rows.to(of_rows).to(DEVICE), columns.to(of_columns).to(DEVICE))
    rows_and_columns[(1,)](*placed, out, R=16, C=32)
    assert torch.equal(out.cpu(), x[rows[:, None], columns])


@triton.jit
def computed(x, out, start, MIDDLE, BLOCK: tl.constexpr, TYPE: tl.constexpr, STEP: tl.constexpr):
    """An arithmetic progression in a type that it may leave: it wraps around there, and so may a part of a block."""
    offsets = tl.arange(0, BLOCK)
    index = (offsets + start).to(TYPE) * STEP
    tl.store(out + offsets, tl.load(x + MIDDLE + index))
    tl.store(out + BLOCK + offsets, tl.load(x + MIDDLE + index.to(tl.int64) // 3))
    tl.store(out + 2 * BLOCK + offsets, tl.load(x + MIDDLE + offsets, mask=index > 20, other=-1.0))


@pytest.mark.parametrize("block", [32, 512])
@pytest.mark.parametrize("step", [1, 3])
@pytest.mark.parametrize("name", ["int8", "uint8", "int16", "int32"])
@pytest.mark.parametrize("start", [0, 100, 32700])
def test_computed_offsets_wrap_at_their_width(name, block, step, start):
    if name == "int32" and start > 100:
        start = 1000
    x = torch.randn(200_000)
    out = torch.zeros(3 * block, device=DEVICE)
    computed[(1,)](x.to(DEVICE), out, start, 100_000, BLOCK=block, TYPE=getattr(tl, name), STEP=step)
    numbers = np.arange(block) + start
    index = (numbers.astype(name) * np.array(step, name)).astype(np.int64)
    quotient = np.trunc(index / 3).astype(np.int64)
    masked = np.where(index > 20, x[100_000 : 100_000 + block].numpy(), -1.0)
    expected = [x[100_000 + index].numpy(), x[100_000 + quotient].numpy(), masked]
    assert np.array_equal(out.cpu().numpy(), np.concatenate(expected).astype(np.float32))


@triton.jit
def gather(x, index, out, ROWS: tl.constexpr, COLUMNS: tl.constexpr, PICKED: tl.constexpr, AXIS: tl.constexpr):
    place = tl.arange(0, ROWS)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    if AXIS == 0:
        chosen = tl.arange(0, PICKED)[:, None] * COLUMNS + tl.arange(0, COLUMNS)[None, :]
    else:
        chosen = tl.arange(0, ROWS)[:, None] * PICKED + tl.arange(0, PICKED)[None, :]
    tl.store(out + chosen, tl.gather(tl.load(x + place), tl.load(index + chosen), AXIS))


@pytest.mark.parametrize("dtype", [*TYPES, torch.uint64], ids=str)
@pytest.mark.parametrize("axis", [0, 1])
@pytest.mark.parametrize("of_values", [torch.float32, torch.bfloat16, torch.int8, torch.int64], ids=str)
def test_gather(dtype, axis, of_values):
    """Places up to the largest that an unsigned byte names."""
    rows, columns = (256, 16) if axis == 0 else (16, 256)
    most = 128 if dtype is torch.int8 else 256
    shape = (32, columns) if axis == 0 else (rows, 32)
    index = torch.randint(0, most, shape, generator=torch.Generator().manual_seed(axis))
    x = (torch.randn(rows, columns) * 50).to(of_values)
    out = torch.zeros(shape, dtype=of_values, device=DEVICE)
    gather[(1,)](x.to(DEVICE), index.to(dtype).to(DEVICE), out, ROWS=rows, COLUMNS=columns, PICKED=32, AXIS=axis)
    assert torch.equal(out.cpu(), x.gather(axis, index))


@triton.jit
def row(x, out, number, ROWS: tl.constexpr, COLUMNS: tl.constexpr, TYPE: tl.constexpr):
    down, across = tl.arange(0, ROWS)[:, None], tl.arange(0, COLUMNS)[None, :]
    values = tl.load(x + down * COLUMNS + across)
    tl.store(out + across, tl.gather(values, tl.full([1, COLUMNS], number, dtype=TYPE), axis=0))


@pytest.mark.parametrize("name", ["int8", "int16", "uint8", "uint16", "int32", "int64"])
def test_gather_of_one_row(name):
    x, out = torch.arange(8 * 16.0, device=DEVICE), torch.zeros(16, device=DEVICE)
    row[(1,)](x, out, 3, ROWS=8, COLUMNS=16, TYPE=getattr(tl, name))
    assert torch.equal(out.cpu(), torch.arange(48.0, 64.0))


@triton.jit
def histogram(x, out, N: tl.constexpr, BINS: tl.constexpr):
    tl.store(out + tl.arange(0, BINS), tl.histogram(tl.load(x + tl.arange(0, N)), BINS))


@pytest.mark.parametrize("dtype", TYPES, ids=str)
def test_histogram(dtype):
    bins = 128 if dtype is torch.int8 else 256
    x = torch.randint(0, bins, (1024,), generator=torch.Generator().manual_seed(9))
    out = torch.zeros(bins, dtype=torch.int32, device=DEVICE)
    histogram[(1,)](x.to(dtype).to(DEVICE), out, N=1024, BINS=bins)
    assert torch.equal(out.cpu().long(), x.bincount(minlength=bins))
