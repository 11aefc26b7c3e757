"""Programs in strips give the bits of the programs in whole tiles, on the device; large blocks agree with torch."""

import numpy as np
import pytest
import torch
import triton
import triton.language as tl
from whole_and_strips import WAYS, compare, run, text_of

from mtia_core import chips, isa
from triton_mtia_sim.errors import OutOfLocalMemory
from triton_mtia_sim.strips import accumulators, aliasing, roles, schedule
from triton_mtia_sim.strips.splitting import Strips
from triton_mtia_sim.translate import translate


@triton.jit
def softmax(out, x, n, BLOCK: tl.constexpr):
    row = tl.program_id(0)
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + row * n + offsets, mask=offsets < n, other=-float("inf")).to(tl.float32)
    numerator = tl.exp(values - tl.max(values, 0))
    tl.store(out + row * n + offsets, numerator / tl.sum(numerator, 0), mask=offsets < n)


@triton.jit
def weighted_loss(out, x, weight, n, BLOCK: tl.constexpr):
    """A loop over blocks, an accumulator tile that it carries, and gradients in the place of the input."""
    row = tl.program_id(0)
    most, total = -float("inf"), 0.0
    smoothed = tl.zeros((BLOCK,), tl.float32)
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        values = tl.load(x + row * n + offsets, mask=offsets < n, other=-float("inf")).to(tl.float32)
        higher = tl.maximum(most, tl.max(values))
        total = total * tl.exp(most - higher) + tl.sum(tl.exp(values - higher))
        most = higher
        scale = tl.load(weight + offsets, mask=offsets < n, other=0.0)
        smoothed += tl.where(offsets < n, values * scale, 0.0)
    for start in range(0, n, BLOCK):
        offsets = start + tl.arange(0, BLOCK)
        values = tl.load(x + row * n + offsets, mask=offsets < n, other=-float("inf")).to(tl.float32)
        scale = tl.load(weight + offsets, mask=offsets < n, other=0.0)
        probability = tl.exp(values - most) / total
        gradient = 0.9 * probability * scale + 0.1 * (probability - scale) + probability * probability
        tl.store(x + row * n + offsets, gradient, mask=offsets < n)
    tl.store(out + row, tl.log(total) + most + tl.sum(smoothed))


@triton.jit
def norm(out, scales, x, weight, n, ROWS: tl.constexpr, BLOCK: tl.constexpr):
    """Weights from before the loop, and a store of one number between the loads and the stores of a row."""
    offsets = tl.arange(0, BLOCK)
    inside = offsets < n
    weights = tl.load(weight + offsets, mask=inside, other=0.0)
    for row in range(ROWS):
        values = tl.load(x + row * n + offsets, mask=inside, other=0.0).to(tl.float32)
        scale = 1 / tl.sqrt(tl.sum(values * values) / n + 1e-6)
        tl.store(scales + row, scale)
        tl.store(out + row * n + offsets, values * scale * weights, mask=inside)


@triton.jit
def reductions(out, positions, x, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    tl.store(out, tl.sum(values, 0))
    tl.store(out + 1, tl.max(values, 0))
    tl.store(out + 2, tl.min(values, 0))
    tl.store(out + 3, tl.reduce(values, 0, product))
    tl.store(out + 4, tl.sum(values * 2, 0) + tl.max(values - 1, 0))
    tl.store(positions, tl.argmax(values, 0))
    tl.store(positions + 1, tl.argmin(values, 0))
    high, where = tl.max(tl.where(offsets % 3 == 0, values, 0), 0, return_indices=True)
    tl.store(positions + 2, where)
    tl.store(out + 5, high)
    tl.store(positions + 3, tl.sum((values > 0).to(tl.int32), 0))
    tl.store(positions + 4, tl.xor_sum(tl.where(values > 0, offsets, 3), 0))


@triton.jit
def product(a, b):
    return a * b


@triton.jit
def matrix(out, sums, x, row_vector, column_vector, ROWS: tl.constexpr, COLUMNS: tl.constexpr):
    """Both axes of a matrix, vectors that broadcast along each, and movements inside of a strip."""
    rows, columns = tl.arange(0, ROWS), tl.arange(0, COLUMNS)
    place = rows[:, None] * COLUMNS + columns[None, :]
    values = tl.load(x + place)
    across = tl.load(row_vector + columns)
    down = tl.load(column_vector + rows)
    mixed = values * across[None, :] + down[:, None]
    along = tl.sum(mixed, 1)
    of_columns = tl.sum(mixed, 0)
    tl.store(sums + rows, along)
    tl.store(sums + ROWS + columns, of_columns)
    normal = (mixed - tl.max(mixed, 1)[:, None]) * tl.sum(along * down, 0)
    first, second = tl.split(tl.reshape(normal, (ROWS, COLUMNS // 2, 2)))
    swapped = tl.cumsum(tl.sort(tl.reshape(tl.join(second, first), (ROWS, COLUMNS))), 1)
    tl.store(out + place, swapped + of_columns[None, :])


@triton.jit
def indexed(out, counts, x, index, n, BLOCK: tl.constexpr):
    """Gathers, scatters and atomics, whose later elements win."""
    offsets = tl.arange(0, BLOCK)
    inside = offsets < n
    where = tl.load(index + offsets, mask=inside, other=0)
    values = tl.load(x + where, mask=inside & (where % 2 == 0), other=7.0)
    tl.store(out + where, values * 2, mask=inside)
    old = tl.atomic_add(counts + where % 8, 1, mask=inside)
    tl.store(out + BLOCK + offsets, old.to(tl.float32) + tl.load(out + where, mask=inside, other=0.0), mask=inside)


@triton.jit
def attention(out, q, k, v, n, ROWS: tl.constexpr, BLOCK: tl.constexpr, DEPTH: tl.constexpr):
    """Products whose rows are cut, and a loop that carries their sums."""
    rows, depth = tl.arange(0, ROWS), tl.arange(0, DEPTH)
    queries = tl.load(q + rows[:, None] * DEPTH + depth[None, :])
    most = tl.full((ROWS,), -float("inf"), tl.float32)
    total = tl.zeros((ROWS,), tl.float32)
    result = tl.zeros((ROWS, DEPTH), tl.float32)
    for start in range(0, n, BLOCK):
        columns = start + tl.arange(0, BLOCK)
        place = columns[:, None] * DEPTH + depth[None, :]
        keys = tl.load(k + place, mask=columns[:, None] < n, other=0.0)
        values = tl.load(v + place, mask=columns[:, None] < n, other=0.0)
        scores = tl.where(columns[None, :] < n, tl.dot(queries, tl.trans(keys)), -float("inf"))
        higher = tl.maximum(most, tl.max(scores, 1))
        weights = tl.exp(scores - higher[:, None])
        fade = tl.exp(most - higher)
        total = total * fade + tl.sum(weights, 1)
        result = tl.dot(weights.to(values.dtype), values, result * fade[:, None])
        most = higher
    tl.store(out + rows[:, None] * DEPTH + depth[None, :], result / total[:, None])


@triton.jit
def batch(out, a, b, SIZE: tl.constexpr):
    cells = tl.arange(0, 4)[:, None, None] * SIZE * SIZE + tl.arange(0, SIZE)[:, None] * SIZE + tl.arange(0, SIZE)
    tl.store(out + cells, tl.dot(tl.load(a + cells), tl.load(b + cells)))


@triton.jit
def shifted(x, BLOCK: tl.constexpr):
    """Stores over what its other elements still have to load."""
    offsets = tl.arange(0, BLOCK)
    values = tl.load(x + offsets)
    tl.store(x + 1 + offsets, values * 2 - tl.sum(values, 0))


def assert_near(got, wanted, bound):
    error = (got.double() - wanted).norm() / wanted.norm()
    assert error < bound, f"off by {error:.2g} in relative norm"


def test_what_strips_know_of_instructions_is_in_the_table():
    """Lists of names: one that is spelt wrong, or was renamed, would be cut no more without a word."""
    instructions = isa.by_mnemonic()
    assert schedule._PLAIN_WORK | set(accumulators._COMBINE.values()) | aliasing.READS | aliasing.WRITES <= set(
        instructions
    )
    assert set(instructions) >= aliasing.FENCES | aliasing.OBSERVERS
    assert {form.form for form in instructions.values()} >= roles.ELEMENTWISE


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16])
def test_softmax(dtype):
    x = torch.randn(3, 201, generator=torch.Generator().manual_seed(1)).to(dtype)
    x[1, 5], x[2] = float("inf"), -float("inf")
    out = torch.full_like(x, float("nan"))
    found = compare(softmax, {"out": out, "x": x}, {"n": 201}, {"BLOCK": 256}, programs=3)["out"]
    torch.testing.assert_close(found[0].float(), x[0].float().softmax(0), rtol=1e-2, atol=1e-3)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_loops_in_place(dtype):
    generator = torch.Generator().manual_seed(2)
    tensors = {
        "out": torch.full((2,), float("nan")),
        "x": torch.randn(2, 300, generator=generator).to(dtype),
        "weight": torch.rand(300, generator=generator),
    }
    found = compare(weighted_loss, tensors, {"n": 300}, {"BLOCK": 128}, programs=2)
    x, weight = tensors["x"].double(), tensors["weight"].double()
    assert_near(found["out"], x.logsumexp(1) + (x * weight).sum(1), 1e-6)
    probability = x.softmax(1)
    gradient = 0.9 * probability * weight + 0.1 * (probability - weight) + probability.square()
    assert_near(found["x"], gradient, 1e-6 if dtype is torch.float32 else 2**-8)


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_norm(dtype):
    generator = torch.Generator().manual_seed(8)
    tensors = {
        "out": torch.full((3, 121), float("nan"), dtype=dtype),
        "scales": torch.full((3,), float("nan")),
        "x": torch.randn(3, 121, generator=generator).to(dtype),
        "weight": torch.rand(121, generator=generator),
    }
    found = compare(norm, tensors, {"n": 121}, {"ROWS": 3, "BLOCK": 128})
    x = tensors["x"].double()
    scales = (x.square().mean(1) + 1e-6).rsqrt()
    assert_near(found["scales"], scales, 1e-6)
    assert_near(found["out"], x * scales[:, None] * tensors["weight"], 1e-6 if dtype is torch.float32 else 2**-8)


def test_reload_needs_less_than_keeping():
    """A row whose values are needed three times, and a store of one number in between."""
    tensors = {
        "out": torch.empty(3, 121),
        "scales": torch.empty(3),
        "x": torch.empty(3, 121),
        "weight": torch.empty(121),
    }
    text = text_of(norm, tensors, {"n": 30000}, {"ROWS": 3, "BLOCK": 32768})
    needs = {
        reload: translate(text, chips.load("mtia300"), strips=Strips(16, reload)).local_memory_bytes
        for reload in (False, True)
    }
    assert needs[True] < 200 * 1024 < 256 * 1024 < needs[False]  # the weights, and a row of values where it is kept


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16, torch.float16, torch.int32])
@pytest.mark.parametrize("contents", ["random", "zeros", "nan"])
def test_reductions(dtype, contents):
    generator = torch.Generator().manual_seed(3)
    x = (torch.randn(256, generator=generator) * 3).to(dtype)
    if contents == "zeros":
        x = torch.where(torch.rand(256, generator=generator) < 0.5, 0.0, -0.0).to(dtype)
    elif contents == "nan" and dtype.is_floating_point:
        x[100], x[31] = float("nan"), float("nan")
    out = torch.full((6,), 77, dtype=dtype)
    tensors = {"out": out, "positions": torch.full((5,), -1, dtype=torch.int32), "x": x}
    found = compare(reductions, tensors, {}, {"BLOCK": 256})
    if contents == "random":
        exact = x.double().numpy()
        assert found["out"][1:3].tolist() == [exact.max(), exact.min()]
        bits = np.bitwise_xor.reduce(np.where(exact > 0, np.arange(256), 3))
        places = [exact.argmax(), exact.argmin(), np.where(np.arange(256) % 3, 0, exact).argmax(), (exact > 0).sum()]
        assert found["positions"].tolist() == [*places, bits]
        assert found["out"][0].item() == pytest.approx(exact.sum(), rel=2**-7, abs=1e-3)


@pytest.mark.parametrize("shape", [(16, 64), (64, 16), (1, 128), (2, 256)])
def test_matrices(shape):
    generator = torch.Generator().manual_seed(4)
    rows, columns = shape
    tensors = {
        "out": torch.full(shape, float("nan")),
        "sums": torch.full((rows + columns,), float("nan")),
        "x": torch.randn(shape, generator=generator),
        "row_vector": torch.randn(columns, generator=generator),
        "column_vector": torch.randn(rows, generator=generator),
    }
    ways = [strips for strips in WAYS if strips.count == 2 or rows != 2]
    found = compare(matrix, tensors, {}, {"ROWS": rows, "COLUMNS": columns}, ways=ways)
    x, across, down = (tensors[name].double() for name in ("x", "row_vector", "column_vector"))
    mixed = x * across + down[:, None]
    assert_near(found["sums"], torch.cat([mixed.sum(1), mixed.sum(0)]), 1e-5)
    normal = (mixed - mixed.amax(1, keepdim=True)) * (mixed.sum(1) * down).sum()
    assert_near(found["out"], normal.sort(1).values.cumsum(1) + mixed.sum(0), 1e-5)


def test_indexed_accesses():
    generator = torch.Generator().manual_seed(5)
    tensors = {
        "out": torch.full((256,), float("nan")),
        "counts": torch.zeros(8, dtype=torch.int32),
        "x": torch.randn(128, generator=generator),
        "index": torch.randint(0, 100, (128,), generator=generator),
    }
    compare(indexed, tensors, {"n": 99}, {"BLOCK": 128})


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_products(dtype):
    generator = torch.Generator().manual_seed(9)
    q, k, v = (torch.randn(count, 32, generator=generator).to(dtype) for count in (64, 100, 100))
    tensors = {"out": torch.full((64, 32), float("nan")), "q": q, "k": k, "v": v}
    found = compare(attention, tensors, {"n": 100}, {"ROWS": 64, "BLOCK": 32, "DEPTH": 32})["out"]
    expected = (q.double() @ k.double().T).softmax(1) @ v.double()
    torch.testing.assert_close(found.double(), expected, rtol=2e-2, atol=2e-2 if dtype is torch.bfloat16 else 1e-4)
    a, b = torch.randn(2, 4, 16, 16, generator=generator).to(dtype)
    ways = [strips for strips in WAYS if strips.count <= 4]
    out = torch.full((4, 16, 16), float("nan"))
    found = compare(batch, {"out": out, "a": a, "b": b}, {}, {"SIZE": 16}, ways=ways)["out"]
    assert_near(found, a.double() @ b.double(), 1e-6)


def test_stores_over_loads():
    """Kept values are right; where the kernel would have to load again what it overwrote, it says so."""
    x = {"x": torch.randn(257, generator=torch.Generator().manual_seed(6))}
    kept = [strips for strips in WAYS if not strips.reload]
    compare(shifted, x, {}, {"BLOCK": 256}, ways=kept)
    with pytest.raises(Exception, match=aliasing.MESSAGE.split(",")[0]):
        run(shifted, x, {}, {"BLOCK": 256}, Strips(4, True, least=16))


def check_large_softmax(columns, dtype):
    x = torch.randn(3, columns, generator=torch.Generator().manual_seed(7)).to(dtype)
    out = torch.full_like(x, float("nan"), device="mtia_sim")
    softmax[(3,)](out, x.to("mtia_sim"), columns, BLOCK=triton.next_power_of_2(columns))
    torch.testing.assert_close(
        out.cpu().float(), x.float().softmax(1), rtol=1e-2 if dtype != torch.float32 else 1e-5, atol=1e-7
    )


@pytest.mark.parametrize("dtype", [torch.float32, torch.bfloat16])
def test_a_row_of_128256(dtype):
    check_large_softmax(128256, dtype)


def test_report_says_strips():
    x = torch.randn(2, 200000, device="mtia_sim")
    report = torch.mtia_sim.explain(softmax, torch.empty_like(x), x, 200000, grid=(2,), BLOCK=262144)
    assert report.strips > 1
    assert report.local_memory_bytes <= report.local_memory_available
    assert f"in {report.strips} strips" in report.text(disassembly=False)


@triton.jit
def sort(out, x, BLOCK: tl.constexpr):
    offsets = tl.arange(0, BLOCK)
    tl.store(out + offsets, tl.sort(tl.load(x + offsets)))


def test_what_needs_whole_tiles_is_refused():
    x = torch.randn(262144, device="mtia_sim")
    with pytest.raises(OutOfLocalMemory, match=r"test_strips.py:\d+ .* needs [\d.]+ KiB of local memory"):
        sort[(1,)](torch.empty_like(x), x, BLOCK=262144)
