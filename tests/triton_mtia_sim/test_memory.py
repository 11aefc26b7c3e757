"""Address and mask analysis: what is structured, what is indexed, and that both are right."""

import numpy as np
import pytest
import triton
import triton.language as tl
from execution import build, run
from reference_interpreter import Fault

RANDOM = np.random.default_rng(2)


def names_of(kernel, arguments, constants):
    return [item.mnemonic for item in build(kernel, arguments, constants).instructions]


@triton.jit
def window_kernel(x, out, low, high, other, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    mask = (offsets >= low) & (offsets < high) & (low < 5)
    tl.store(out + offsets, tl.load(x + offsets, mask=mask, other=other))


@pytest.mark.parametrize(("low", "high"), [(0, 16), (3, 9), (-4, 99), (9, 3), (5, 16)])
def test_bounds_and_a_scalar_condition(low, high):
    x = RANDOM.standard_normal(16).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(16, np.float32), "low": low, "high": high, "other": -2.5}
    index = np.arange(16)
    expected = np.where((index >= low) & (index < high) & (low < 5), x, np.float32(-2.5))
    np.testing.assert_array_equal(run(window_kernel, arguments, {"BLOCK": 16})["out"], expected)
    names = names_of(window_kernel, arguments, {"BLOCK": 16})
    assert "gather" not in names and "iota" not in names


def test_masked_off_addresses_are_not_touched():
    x = RANDOM.standard_normal(4).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(16, np.float32), "low": 0, "high": 4, "other": 0.0}
    np.testing.assert_array_equal(run(window_kernel, arguments, {"BLOCK": 16})["out"][:4], x)
    with pytest.raises(Fault, match=r"test_memory.py.*outside of every allocation"):
        run(window_kernel, {**arguments, "high": 16}, {"BLOCK": 16})


@triton.jit
def reversed_kernel(x, out, n, BLOCK: tl.constexpr):
    offsets = n - 1 - tl.arange(0, BLOCK)
    tl.store(out + tl.arange(0, BLOCK), tl.load(x + offsets, mask=offsets >= 0, other=9.0))


def test_negative_stride():
    x = RANDOM.standard_normal(10).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(16, np.float32), "n": 10}
    expected = np.concatenate([x[::-1], np.full(6, 9, np.float32)])
    np.testing.assert_array_equal(run(reversed_kernel, arguments, {"BLOCK": 16})["out"], expected)
    assert "gather" not in names_of(reversed_kernel, arguments, {"BLOCK": 16})


@triton.jit
def embedding_kernel(table, indices, out, columns, BLOCK: tl.constexpr, COLUMNS: tl.constexpr):
    rows = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    index = tl.load(indices + rows)
    values = tl.load(table + index[:, None] * columns + column[None, :], mask=column[None, :] < columns)
    tl.store(out + rows[:, None] * columns + column[None, :], values, mask=column[None, :] < columns)


def test_indirect_rows_are_gathered():
    table = RANDOM.standard_normal((20, 10)).astype(np.float32)
    indices = RANDOM.integers(0, 20, 8)
    arguments = {"table": table, "indices": indices, "out": np.zeros((8, 10), np.float32), "columns": 10}
    constants = {"BLOCK": 4, "COLUMNS": 16}
    np.testing.assert_array_equal(run(embedding_kernel, arguments, constants, (2,))["out"], table[indices])
    names = names_of(embedding_kernel, arguments, constants)
    assert names.count("gather_rows") == 1 and not {"gather", "scatter", "scatter_rows"} & set(names)


@triton.jit
def row_writer_kernel(table, indices, x, count, columns, stride, BLOCK: tl.constexpr, COLUMNS: tl.constexpr):
    row = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    column = tl.arange(0, COLUMNS)
    inside = row < count
    index = tl.load(indices + row, mask=inside, other=-1)
    values = tl.load(x + row[:, None] * columns + column[None, :], mask=inside[:, None] & (column < columns)[None, :])
    places = table + column[None, :] + index[:, None] * stride
    tl.store(places, values, mask=(index >= 0)[:, None] & (column < columns)[None, :])


@pytest.mark.parametrize("index", ["int32", "int64"])
@pytest.mark.parametrize(("columns", "width"), [(16, 16), (10, 16), (7, 8)])
def test_rows_are_scattered_in_order_where_their_mask_says(index, columns, width):
    count = 21
    x = RANDOM.standard_normal((count, columns)).astype(np.float32)
    indices = RANDOM.integers(-2, 9, count).astype(index)
    table = np.full((9, columns + 3), 5, np.float32)
    arguments = {"table": table, "indices": indices, "x": x, "count": count, "columns": columns, "stride": columns + 3}
    constants = {"BLOCK": 8, "COLUMNS": width}
    expected = table.copy()
    for place, row in zip(indices, x, strict=True):
        if place >= 0:
            expected[place, :columns] = row
    np.testing.assert_array_equal(run(row_writer_kernel, arguments, constants, (3,))["table"], expected)
    assert names_of(row_writer_kernel, arguments, constants).count("scatter_rows") == 1


@triton.jit
def batch_of_rows_kernel(table, indices, out, A: tl.constexpr, B: tl.constexpr, C: tl.constexpr):
    place = tl.arange(0, A)[:, None] * B + tl.arange(0, B)[None, :]
    index = tl.load(indices + place)
    column = tl.arange(0, C)
    values = tl.load(table + 2 + index[:, :, None] * (C + 2) + column[None, None, :])
    tl.store(out + place[:, :, None] * C + column[None, None, :], values)


def test_rows_of_a_higher_rank():
    table = RANDOM.standard_normal((12, 18)).astype(np.float16)
    indices = RANDOM.integers(0, 12, (4, 2)).astype(np.int32)
    arguments = {"table": table, "indices": indices, "out": np.zeros((4, 2, 16), np.float16)}
    constants = {"A": 4, "B": 2, "C": 16}
    found = run(batch_of_rows_kernel, arguments, constants, (1,))["out"]
    np.testing.assert_array_equal(found, table[indices, 2:])
    assert "gather_rows" in names_of(batch_of_rows_kernel, arguments, constants)


@triton.jit
def divided_kernel(x, out, columns, stride, BLOCK: tl.constexpr):
    linear = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    tl.store(out + linear, tl.load(x + (linear // columns) * stride + linear % columns))


def test_division_and_remainder_of_a_flat_index():
    x = RANDOM.standard_normal((8, 12)).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(64, np.float32), "columns": 8, "stride": 12}
    expected = x[:, :8].reshape(-1)
    np.testing.assert_array_equal(run(divided_kernel, arguments, {"BLOCK": 32}, (2,))["out"], expected)


@triton.jit
def two_modulos_kernel(x, out, M, N, BM: tl.constexpr, BN: tl.constexpr):
    rows = (tl.program_id(0) * BM + tl.arange(0, BM)) % M
    columns = (tl.arange(0, BN) + 3) % N
    tile = tl.load(x + rows[:, None] * N + columns[None, :])
    target = tl.program_id(0) * BM + tl.arange(0, BM)
    tl.store(out + target[:, None] * BN + tl.arange(0, BN)[None, :], tile)


def test_several_modulos_wrap_in_the_descriptor():
    x = RANDOM.standard_normal((5, 7)).astype(np.float32)
    arguments = {"x": x, "out": np.zeros((8, 16), np.float32), "M": 5, "N": 7}
    expected = x[np.arange(8) % 5][:, (np.arange(16) + 3) % 7]
    np.testing.assert_array_equal(run(two_modulos_kernel, arguments, {"BM": 4, "BN": 16}, (2,))["out"], expected)
    assert "gather" not in names_of(two_modulos_kernel, arguments, {"BM": 4, "BN": 16})


@triton.jit
def rolled_kernel(x, out, shift, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.load(x + (offsets + shift) % n))


def test_the_remainder_of_a_negative_index_is_refused_not_wrapped():
    x = RANDOM.standard_normal(16).astype(np.float32)
    arguments = {"x": x, "out": np.zeros(16, np.float32), "n": 16}
    rolled = run(rolled_kernel, {**arguments, "shift": 5}, {"BLOCK": 16})["out"]
    np.testing.assert_array_equal(rolled, np.roll(x, -5))
    with pytest.raises(Fault, match="add the divisor"):
        run(rolled_kernel, {**arguments, "shift": -5}, {"BLOCK": 16})


@triton.jit
def chosen_pointer_kernel(x, y, out, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    pointers = tl.where(offsets % 3 == 0, x + offsets, y + 2 * offsets)
    tl.store(out + offsets, tl.load(pointers))


def test_selected_pointers():
    x, y = (RANDOM.standard_normal(32).astype(np.float32) for _ in range(2))
    index = np.arange(16)
    expected = np.where(index % 3 == 0, x[:16], y[::2])
    arguments = {"x": x, "y": y, "out": np.zeros(16, np.float32)}
    np.testing.assert_array_equal(run(chosen_pointer_kernel, arguments, {"BLOCK": 16})["out"], expected)


@triton.jit
def tile_other_kernel(x, y, out, n, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tile = tl.load(x + offsets, mask=(offsets < n) & (offsets % 2 == 0), other=tl.load(y + offsets))
    tl.store(out + offsets, tile, mask=offsets != 3)


def test_a_tile_of_others_and_a_residual_mask():
    x, y = (RANDOM.standard_normal(16).astype(np.float32) for _ in range(2))
    index = np.arange(16)
    expected = np.where((index < 11) & (index % 2 == 0), x, y)
    expected[3] = 77
    arguments = {"x": x, "y": y, "out": np.full(16, 77, np.float32), "n": 11}
    np.testing.assert_array_equal(run(tile_other_kernel, arguments, {"BLOCK": 16})["out"], expected)


@triton.jit
def block_pointer_kernel(x, out, M, N, BM: tl.constexpr, BN: tl.constexpr):
    source = tl.make_block_ptr(x, (M, N), (N, 1), (0, 0), (BM, BN), (1, 0))
    total = tl.zeros((BM, BN), tl.float32)
    for _ in range(0, N, BN):
        total += tl.load(source, boundary_check=(0, 1), padding_option="zero")
        source = tl.advance(source, (0, BN))
    target = tl.make_block_ptr(out, (M, BN), (BN, 1), (0, 0), (BM, BN), (1, 0))
    tl.store(target, total, boundary_check=(0, 1))


@pytest.mark.filterwarnings("ignore:tl.make_block_ptr")
def test_block_pointers():
    x = RANDOM.standard_normal((6, 20)).astype(np.float32)
    arguments = {"x": x, "out": np.zeros((6, 8), np.float32), "M": 6, "N": 20}
    padded = np.pad(x, ((0, 0), (0, 4))).reshape(6, 3, 8).sum(1)
    result = run(block_pointer_kernel, arguments, {"BM": 8, "BN": 8})["out"]
    np.testing.assert_allclose(result, padded, rtol=1e-5, atol=1e-6)
    names = names_of(block_pointer_kernel, arguments, {"BM": 8, "BN": 8})
    assert "gather" not in names and "scatter" not in names and "iota" not in names


@triton.jit
def descriptor_kernel(x, out, M, N, BM: tl.constexpr, BN: tl.constexpr):
    source = tl.make_tensor_descriptor(x, [M, N], [N, 1], [BM, BN])
    target = tl.make_tensor_descriptor(out, [M, N], [N, 1], [BM, BN])
    for column in range(0, N, BN):
        row = tl.program_id(0) * BM
        target.store([row, column], source.load([row, column]) + 1)


def test_tensor_descriptors_made_in_the_kernel():
    x = RANDOM.standard_normal((10, 24)).astype(np.float32)
    arguments = {"x": x, "out": np.zeros_like(x), "M": 10, "N": 24}
    np.testing.assert_array_equal(run(descriptor_kernel, arguments, {"BM": 8, "BN": 16}, (2,))["out"], x + 1)
    names = names_of(descriptor_kernel, arguments, {"BM": 8, "BN": 16})
    assert names.count("dma_load") == names.count("dma_store") == 1


@triton.jit
def atomic_kernel(x, bins, counts, old, n, BLOCK: tl.constexpr):
    offsets = tl.program_id(0) * BLOCK + tl.arange(0, BLOCK)
    mask = offsets < n
    bin_ = tl.load(bins + offsets, mask=mask, other=0)
    tl.atomic_add(counts + bin_, tl.load(x + offsets, mask=mask), mask=mask)
    tl.store(old + tl.program_id(0), tl.atomic_max(counts + 4, 100.0))
    tl.atomic_cas(counts + 5, 0.0, 3.0)


def test_atomics():
    x, bins = RANDOM.standard_normal(20).astype(np.float32), RANDOM.integers(0, 4, 20).astype(np.int32)
    arguments = {"x": x, "bins": bins, "counts": np.zeros(6, np.float32), "old": np.zeros(2, np.float32), "n": 20}
    result = run(atomic_kernel, arguments, {"BLOCK": 16}, (2,))
    np.testing.assert_allclose(result["counts"][:4], np.bincount(bins, x, 4), rtol=1e-4, atol=1e-5)
    assert result["counts"][4:].tolist() == [100.0, 3.0] and result["old"].tolist() == [0.0, 100.0]
